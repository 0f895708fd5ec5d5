"""Tests the server: what it saves, and whom it refuses."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from datadiet.errors import DataDietError
from datadiet.reviewing import review_server, serve
from datadiet.reviewing.decisions import Decision, read_decisions
from tests import running


@pytest.fixture
def folder(workdir):
  """`workdir`, with a page, as it stands for all pages."""
  report = workdir.report
  report.mkdir()
  (report / 'index.html').write_text('<html><body>the page</body></html>')
  (workdir.root / 'secret.txt').write_text('secret')
  return workdir.root


class Client:
  """A browser of the server, as far as it matters here."""

  def __init__(self, server):
    self.server = server

  def ask(self, path='', body=None, *, token=None, **headers):
    """(status, text) of a GET, or of a POST if there is a body."""
    port = self.server.server_port
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=30)
    headers = {'Host': f'127.0.0.1:{port}', **headers}
    if body is not None:
      headers = {'Content-Type': 'application/json', **headers}
    method = 'GET' if body is None else 'POST'
    token = self.server.token if token is None else token
    connection.request(method, f'/{token}/{path}', body, headers)
    response = connection.getresponse()
    return response.status, response.read().decode()

  def decide(self, *changes):
    """Posts changes; (status, text)."""
    return self.ask('decisions', json.dumps(changes))


@pytest.fixture
def client(folder):
  with review_server(folder) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Client(server)
    server.shutdown()
    thread.join()


def test_the_page_knows_where_to_send_decisions(client):
  assert client.ask() == (
    200,
    '<html><body data-decisions="decisions">the page</body></html>',
  )
  assert client.ask('decisions') == (200, '{}')


def test_what_the_page_links_to_is_served(folder):
  content = 'example_index,id\n3,"träin, 3"\n'
  (folder / 'report' / 'actions').mkdir()
  path = folder / 'report' / 'actions' / 'copies.csv'
  path.write_bytes(content.encode())
  with review_server(folder) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found = Client(server).ask('actions/copies.csv')
    missing = Client(server).ask('actions/other.csv')
    server.shutdown()
    thread.join()
  assert found == (200, content)
  assert missing[0] == 404


def test_the_address_needs_its_slash(client):
  # Decisions would be asked for, and sent, without the token.
  connection = http.client.HTTPConnection(
    '127.0.0.1', client.server.server_port, timeout=30
  )
  connection.request('GET', f'/{client.server.token}')
  response = connection.getresponse()
  assert (response.status, response.read()) == (
    404,
    b'The address has to end in a slash.',
  )


def test_every_decision_is_on_disk_before_it_is_answered(
  client, folder, reviewed
):
  path = folder / 'review' / 'decisions.csv'
  assert client.decide([3, 'drop', -1], [0, 'relabel', 1]) == (200, '{}')
  expected = {3: Decision('drop'), 0: reviewed.decision(0, 'relabel', 'dog')}
  assert read_decisions(path, reviewed) == expected
  assert client.decide([3, '', -1]) == (200, '{}')
  assert list(read_decisions(path, reviewed)) == [0]
  (kind, label) = json.loads(client.ask('decisions')[1])['0']
  assert (kind, label) == (expected[0].kind, expected[0].label)
  # Nothing is left of writing it.
  assert sorted(os.listdir(path.parent)) == ['.lock', 'decisions.csv']


@pytest.mark.parametrize(
  ('body', 'told'),
  [
    ('[[120, "drop", -1]]', 'the example_index 120 is not allowed'),
    ('[[-1, "drop", -1]]', 'the example_index -1 is not allowed'),
    ('[[true, "drop", -1]]', '[true, "drop", -1] is no change'),
    ('[[1.5, "drop", -1]]', 'is no change'),
    ('[[1, "remove", -1]]', "the decision 'remove' is not allowed"),
    ('[[1, "relabel", 3]]', "the label '' is no class"),
    ('[[1, "keep", 1]]', "the label 'dog' is not allowed"),
    ('[[1, "keep"]]', 'is no change'),
    ('{}', 'the changes are no list'),
    ('drop', 'The request is no JSON'),
    (b'\xff', 'The request is no JSON'),
  ],
)
def test_wrong_changes_change_nothing(client, folder, body, told):
  assert client.decide([5, 'drop', -1])[0] == 200
  path = folder / 'review' / 'decisions.csv'
  before = path.read_text()
  code, text = client.ask('decisions', body)
  assert code == 400 and told in text
  assert path.read_text() == before


def test_what_cannot_be_written_is_worth_sending_again(client, monkeypatch):
  def fail(*unused):
    raise DataDietError('cannot write decisions.csv: no space left on device')

  with monkeypatch.context() as patch:
    patch.setattr(serve, 'write_decisions', fail)
    code, text = client.decide([5, 'drop', -1])
  # Pages set aside what is answered by 400.
  assert (code, 'no space left' in text) == (500, True)
  assert client.ask('decisions') == (200, '{}')
  assert client.decide([5, 'drop', -1])[0] == 200


def test_nobody_else_is_answered(client):
  port = client.server.server_port
  for token in ('', 'x', client.server.token[:-1], '%C3%A9'):
    assert client.ask(token=token)[0] == 403
    assert client.ask('decisions', '[]', token=token)[0] == 403
  for host in ('evil.example', f'evil.example:{port}', '127.0.0.1', ''):
    assert client.ask(Host=host)[0] == 403
    assert client.ask('decisions', '[]', Host=host)[0] == 403
  assert client.ask(Host=f'localhost:{port}')[0] == 200


def test_other_pages_cannot_decide(client):
  refused = (
    {'Origin': 'http://evil.example'},
    {'Origin': 'null'},
    {'Content-Type': 'text/plain'},
    {'Content-Type': 'application/x-www-form-urlencoded'},
  )
  for headers in refused:
    assert client.ask('decisions', '[]', **headers)[0] == 403
  own = f'http://localhost:{client.server.server_port}'
  assert client.ask('decisions', '[]', Origin=own)[0] == 200


@pytest.mark.parametrize(
  'path',
  [
    '../secret.txt',
    '..%2fsecret.txt',
    '%2e%2e/secret.txt',
    '/etc/passwd',
    'index.html',
    'decisions/../../secret.txt',
    'grid.html',
  ],
)
def test_no_path_leads_out_of_the_page(client, path):
  code, text = client.ask(path)
  assert code == 404 and 'secret' not in text


def test_a_request_that_is_too_long_is_refused(client):
  for length in ('x', '-1', str(2**40)):
    code, _ = client.ask('decisions', '[]', **{'Content-Length': length})
    assert code in (400, 413)


def test_it_is_bound_to_this_machine(client):
  assert client.server.server_address[0] == '127.0.0.1'


def test_earlier_files_are_never_lost(folder, reviewed):
  review = folder / 'review'
  written = []
  for index in range(3):
    with review_server(folder) as server:
      server.decisions.change([[index, 'drop', -1]])
    written.append((review / 'decisions.csv').read_text())
  # Each start goes on, and leaves what was there under another name.
  assert list(read_decisions(review / 'decisions.csv', reviewed)) == [0, 1, 2]
  assert (review / 'decisions_001.csv').read_text() == written[0]
  assert (review / 'decisions_002.csv').read_text() == written[1]
  # Looking alone makes no file.
  with review_server(folder):
    pass
  assert len(list(review.glob('*.csv'))) == 3


def test_a_damaged_file_is_refused_and_left(folder):
  path = folder / 'review' / 'decisions.csv'
  path.parent.mkdir()
  path.write_text('example_index,id,decision,label\n0,train_0,what,\n')
  with pytest.raises(DataDietError, match='line 2: the decision'):
    with review_server(folder):
      pass
  assert 'what' in path.read_text()


def test_one_server_a_workdir(folder):
  with review_server(folder), pytest.raises(DataDietError, match='in use by'):
    with review_server(folder):
      pass


def test_what_cannot_be_served_is_refused(folder, workdir):
  with socket.create_server(('127.0.0.1', 0)) as other:
    port = other.getsockname()[1]
    with pytest.raises(DataDietError, match='--port: .* allowed: a free port'):
      with review_server(folder, port):
        pass
  (workdir.report / 'index.html').unlink()
  with pytest.raises(DataDietError, match='run the stage report first'):
    with review_server(folder):
      pass


def test_the_command_serves_until_it_is_interrupted(folder, tmp_path):
  with subprocess.Popen(
    [sys.executable, '-m', 'datadiet', 'review', folder],
    cwd=running.REPOSITORY,
    env=running.environment(tmp_path),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    assert process.stdout.readline().startswith('Open http://127.0.0.1:')
    assert 'review/decisions.csv (0 so far)' in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert (process.wait(60), process.stderr.read()) == (0, '')
