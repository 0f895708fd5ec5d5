"""Makes a workdir of what a training of PyTorch, or anything, left behind.

    datadiet import --config=configs/cnn_digits.py --workdir=DIR \\
        --logits=logits.npy [--features=features.npy --ids=ids.txt]
    datadiet --workdir=DIR --stages=audit,select,report

Arrays are .npy files without Python objects. --config says which data they
belong to, and how the stages that follow are set. Exit codes: 0 done, 1 failed,
2 a wrong flag or file.
"""

from collections.abc import Sequence

from absl import app, flags, logging

from datadiet.config import command_line
from datadiet.config import flags as program_flags
from datadiet.errors import ConfigError
from datadiet.importing import Given, import_training
from datadiet.runtime import ending
from datadiet.workdir import storage

_EACH = ' .npy of [epochs, N, classes] or [N, classes]; several runs by commas.'
_LOGITS = flags.DEFINE_list('logits', [], f'Logits:{_EACH}')
_PROBS = flags.DEFINE_list('probs', [], f'Probabilities:{_EACH}')
_LOSSES = flags.DEFINE_list(
  'losses',
  [],
  'Cross-entropies: .npy of [epochs, N] or [N]; several runs by commas.',
)
_FEATURES = flags.DEFINE_string(
  'features',
  '',
  "Inputs of run 0's last layer: .npy of [N, d]; grand_last by one run alone.",
)
_HELD_OUT_PROBS = flags.DEFINE_string(
  'held_out_probs',
  '',
  'Probabilities by networks that did not train on the example: .npy of [N, '
  'classes].',
)
_IDS = flags.DEFINE_string(
  'ids',
  '',
  "The id of each row, a line or a .npy; '' for the data set's own order.",
)


def _parse(argv: Sequence[str]) -> list[str]:
  """Parses all flags; `--help` shows those of this command."""
  own = (_LOGITS, _PROBS, _LOSSES, _FEATURES, _HELD_OUT_PROBS, _IDS)
  names = ['config', 'workdir', *(flag.name for flag in own)]
  command_line.show_help_if_asked(argv, __doc__, names)
  return program_flags.parse(argv)


def _main(argv: list[str]) -> int:
  if argv[1:]:
    raise ConfigError(f'unexpected argument {argv[1]!r}')
  given = program_flags.given()
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.INFO)
  files = Given(
    logits=tuple(_LOGITS.value),
    probs=tuple(_PROBS.value),
    losses=tuple(_LOSSES.value),
    features=_FEATURES.value,
    held_out_probs=_HELD_OUT_PROBS.value,
    ids=_IDS.value,
  )
  import_training(given.config, given.workdir, files)
  return 0


def main() -> None:
  """Runs the program on the command line and exits."""
  app.run(
    ending.guarded(_main, storage.as_store_error),
    flags_parser=ending.parse_or_exit(_parse),
  )


if __name__ == '__main__':
  main()
