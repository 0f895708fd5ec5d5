"""A command that only records how it was called, and answers by a script.

Under the names of gcloud, srun, ... on the PATH, made by conftest.py. The
scenario is a list of rules, each a word sequence that the arguments have to
contain and the answers to give, one after another, the last one for ever. An
answer may have: code, stdout, stderr, pid_file and seconds (to wait, as long
ones do that are to be interrupted), touch (a file to make).
"""

import json
import os
import sys
import time
from pathlib import Path


def next_answer(folder, name, arguments):
  """The answer to a call: of the first rule that fits; else success."""
  rules = json.loads((folder / 'scenario.json').read_text())
  text = ' '.join([name, *arguments])
  for number, rule in enumerate(rules):
    if all(part in text for part in rule['match'].split(' ... ')):
      counter = folder / f'rule_{number}'
      count = int(counter.read_text()) if counter.exists() else 0
      counter.write_text(str(count + 1))
      return rule['answers'][min(count, len(rule['answers']) - 1)]
  return {}


def main():
  """Records the call, then answers."""
  folder = Path(os.environ['STAND_IN_FOLDER'])
  name, arguments = sys.argv[1], sys.argv[2:]
  with (folder / 'calls').open('a') as calls:
    calls.write(json.dumps([name, *arguments]) + '\n')
  answer = next_answer(folder, name, arguments)
  print(answer.get('stdout', ''), end='', flush=True)
  print(answer.get('stderr', ''), end='', file=sys.stderr, flush=True)
  if 'pid_file' in answer:
    Path(answer['pid_file']).write_text(str(os.getpid()))
  time.sleep(answer.get('seconds', 0))
  sys.exit(answer.get('code', 0))


if __name__ == '__main__':
  main()
