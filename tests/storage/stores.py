"""Local object stores for tests, and a gateway in front that can fail."""

import http.client
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec

BUCKET = 'bucket'
# Neither is known to any store but these.
_CREDENTIALS = {
  'AWS_ACCESS_KEY_ID': 'test',
  'AWS_SECRET_ACCESS_KEY': 'test',
  'AWS_DEFAULT_REGION': 'us-east-1',
}
_SERVERS = {
  's3': 'from moto.server import main; main(["-H127.0.0.1", "-p{port}"])',
  'gs': (
    'from gcp_storage_emulator.server import create_server; '
    'create_server("127.0.0.1", {port}, in_memory=True, '
    f'default_bucket="{BUCKET}").run()'
  ),
}


class Store:
  """A running store.

  Attributes:
    port: where it listens on this machine.
    scheme: of its paths.
    root: 'scheme://bucket'.
    env: what makes programs use it.
  """

  def __init__(self, scheme: str, port: int):
    url = f'http://127.0.0.1:{port}'
    self.port = port
    self.scheme = scheme
    self.root = f'{scheme}://{BUCKET}'
    if scheme == 's3':
      self.env = {**_CREDENTIALS, 'AWS_ENDPOINT_URL': url}
    else:
      self.env = {'STORAGE_EMULATOR_HOST': url, 'FSSPEC_GS': '{"token":"anon"}'}
    options = {'skip_instance_cache': True, 'use_listings_cache': False}
    if scheme == 's3':
      self.files = fsspec.filesystem(
        's3', endpoint_url=url, key='test', secret='test', **options
      )
    else:
      self.files = fsspec.filesystem(
        'gs', endpoint_url=url, token='anon', **options
      )

  def contents(self, folder: str) -> dict[str, bytes]:
    """Every object below a folder of the bucket, by its path in there."""
    start = f'{BUCKET}/{folder}/'
    names = self.files.find(start)
    return {
      name.removeprefix(start): self.files.cat_file(name) for name in names
    }


@contextmanager
def running(scheme: str, log: Path) -> Iterator[Store]:
  """A store in a process of its own, with an empty bucket.

  Args:
    scheme: of its paths.
    log: a file for what it prints.
  """
  port = free_port()
  with log.open('w') as output:
    process = subprocess.Popen(
      [sys.executable, '-c', _SERVERS[scheme].format(port=port)],
      stdout=output,
      stderr=output,
    )
  try:
    _wait_for(port, process)
    store = Store(scheme, port)
    if scheme == 's3':
      store.files.mkdir(BUCKET)
    yield store
  finally:
    process.kill()
    process.wait()


def free_port() -> int:
  """A port that nobody listens at."""
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    return free.getsockname()[1]


def _wait_for(port: int, process: subprocess.Popen) -> None:
  deadline = time.monotonic() + 60
  while True:
    try:
      socket.create_connection(('127.0.0.1', port), 1).close()
      return
    except OSError:
      assert process.poll() is None, 'the store ended'
      assert time.monotonic() < deadline, 'the store does not answer'
      time.sleep(0.05)


class Gateway:
  """Passes requests on to a store, but answers some of them with an error.

  Attributes:
    store: as seen through the gateway.
    seen: (method, path) of all requests.
    num_failed: how many were answered with an error.
  """

  def __init__(self, behind: Store):
    self.seen: list[tuple[str, str]] = []
    self.num_failed = 0
    self._fails = lambda method, path, number: 0
    self._lock = threading.Lock()
    gateway = self

    class Handler(BaseHTTPRequestHandler):
      protocol_version = 'HTTP/1.1'

      def _handle(self):
        gateway._handle(self, behind.port)

      do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = _handle

      def log_message(self, *args):
        pass

    self._server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    self._server.daemon_threads = True
    threading.Thread(target=self._server.serve_forever, daemon=True).start()
    self.store = Store(behind.scheme, self._server.server_address[1])

  def fail(self, decide) -> None:
    """From now on answers by `decide(method, path, number)`.

    Args:
      decide: gives a status, 0 to pass on, or -1 to hang up in the middle of
        the answer; `number` counts from 0.
    """
    with self._lock:
      self.seen.clear()
      self.num_failed = 0
      self._fails = decide

  def close(self) -> None:
    """Stops listening."""
    self._server.shutdown()
    self._server.server_close()

  def _handle(self, request: BaseHTTPRequestHandler, port: int) -> None:
    method, path = request.command, request.path
    body = _body_of(request)
    # Google's uploads say there what they are of.
    named = re.search(rb'"name": ?"([^"]+)"', body[:2000])
    of = f'{path}#{named[1].decode()}' if named else path
    with self._lock:
      status = self._fails(method, of, len(self.seen))
      self.seen.append((method, of))
      self.num_failed += status != 0
    if status > 0:
      _answer(request, status, {}, b'')
      return
    connection = http.client.HTTPConnection('127.0.0.1', port)
    headers = dict(request.headers.items())
    headers.pop('Transfer-Encoding', None)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if status < 0:
      content = content[: len(content) // 2]
    length = answer.getheader('Content-Length')
    _answer(request, answer.status, dict(answer.getheaders()), content, length)
    request.close_connection |= status < 0


def _body_of(request: BaseHTTPRequestHandler) -> bytes:
  if request.headers.get('Transfer-Encoding') == 'chunked':
    body = b''
    while size := int(request.rfile.readline().split(b';')[0], 16):
      body += request.rfile.read(size)
      request.rfile.readline()
    request.rfile.readline()
    return body
  return request.rfile.read(int(request.headers.get('Content-Length', 0)))


# Headers that say how an answer came, which differs here.
_OF_THE_CONNECTION = ('content-length', 'transfer-encoding', 'connection')


def _answer(request, status, headers, content, length=None) -> None:
  request.send_response(status)
  for name, value in headers.items():
    if name.lower() not in (
      'content-length',
      'transfer-encoding',
      'connection',
    ):
      request.send_header(name, value)
  request.send_header('Content-Length', length or str(len(content)))
  request.end_headers()
  if request.command != 'HEAD':
    request.wfile.write(content)
