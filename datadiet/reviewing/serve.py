"""Serves a report's page to one browser, and saves its decisions as one goes.

By the standard library's http.server, bound to this machine. Whoever knows the
address may read the page and decide: it has a random token. Another page in the
same browser knows it not; that its host's name be pointed at this machine is
answered by checking the Host header.
"""

import contextlib
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from etils import epath

from datadiet.errors import DataDietError
from datadiet.results import load_results
from datadiet.reviewing.decisions import (
  Decision,
  Decisions,
  Reviewed,
  read_decisions,
  write_decisions,
)
from datadiet.workdir import artifacts, lock, storage

HOST = '127.0.0.1'
DECISIONS = 'decisions.csv'
# More than a change of every example of a large data set.
_MAX_BODY = 2**26
_JSON = 'application/json'
_HTML = 'text/html; charset=utf-8'
_CSV = 'text/csv; charset=utf-8'
_HEADERS = {
  'Cache-Control': 'no-store',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
}


class NotSavedError(DataDietError):
  """Allowed decisions that could not be written: it is worth trying again."""


class DecisionsFile:
  """The file of decisions that grows while somebody reviews."""

  def __init__(self, folder: epath.Path, reviewed: Reviewed):
    """Goes on with the decisions that the folder has.

    Args:
      folder: of the workdir, for files of decisions.
      reviewed: the examples.

    Raises:
      DataDietError: if the file that is there cannot be used; names the line.
    """
    self.path = folder / DECISIONS
    self._reviewed = reviewed
    self._guard = threading.Lock()
    self._decisions: Decisions = {}
    # What was there before this start is set aside at the first change.
    self._before: bytes | None = None
    if self.path.exists():
      self._decisions = read_decisions(self.path, reviewed)
      self._before = artifacts.read_bytes(self.path)

  def __len__(self) -> int:
    return len(self._decisions)

  def content(self) -> dict[str, list]:
    """Example_index -> [decision, label], the label -1 but for relabel."""
    with self._guard:
      return {
        str(index): [decision.kind, decision.label]
        for index, decision in self._decisions.items()
      }

  def change(self, changes: Any) -> None:
    """Takes decisions, and writes the file before it returns.

    Args:
      changes: a list of [example_index, decision, label]; '' as the decision
        takes one back.

    Raises:
      DataDietError: if they are not allowed; then nothing is changed.
      NotSavedError: if they cannot be written; likewise.
    """
    with self._guard:
      decisions = dict(self._decisions)
      if not isinstance(changes, list):
        raise DataDietError('the changes are no list')
      for change in changes:
        index, decision = self._checked(change)
        decisions.pop(index, None)
        if decision is not None:
          decisions[index] = decision
      try:
        self._write(decisions)
      except DataDietError as error:
        raise NotSavedError(error) from error
      self._decisions = decisions

  def _write(self, decisions: Decisions) -> None:
    if self._before:
      artifacts.write_bytes(_free_name(self.path), self._before)
      self._before = None
    write_decisions(self.path, decisions, self._reviewed)

  def _checked(self, change: Any) -> tuple[int, Decision | None]:
    match change:
      case [int(index), str(kind), int(label)] if type(index) is int:
        names = self._reviewed.class_names
        name = names[label] if 0 <= label < len(names) else ''
        decision = self._reviewed.decision(index, kind or 'keep', name)
        return index, decision if kind else None
    raise DataDietError(
      f'{json.dumps(change)[:80]} is no change; allowed: [example_index, '
      'decision, label]'
    )


def _free_name(path: epath.Path) -> epath.Path:
  """The next of decisions_001.csv, decisions_002.csv, ..."""
  pattern = re.compile(rf'{path.stem}_(\d+)\.csv')
  matches = (pattern.fullmatch(other.name) for other in path.parent.iterdir())
  number = max((int(match[1]) for match in matches if match), default=0) + 1
  return path.parent / f'{path.stem}_{number:03d}.csv'


class ReviewServer(ThreadingHTTPServer):
  """Serves the page, and takes decisions, for those who know the token."""

  daemon_threads = True

  def __init__(
    self, report: epath.Path, decisions: DecisionsFile, port: int = 0
  ):
    """Binds to a port of this machine.

    Args:
      report: the folder of the page.
      decisions: the file they go to.
      port: 0 for any that is free.

    Raises:
      DataDietError: if the port is taken.
    """
    self.token = secrets.token_urlsafe(24)
    self.decisions = decisions
    # All there is: a path that is no key is not found, so none leads elsewhere.
    self.pages = {'': report / 'index.html', 'grid.html': report / 'grid.html'}
    self.pages |= {
      f'actions/{path.name}': path
      for path in (report / 'actions').glob('*.csv')
    }
    try:
      super().__init__((HOST, port), _Handler)
    except (OSError, OverflowError) as error:
      raise DataDietError(
        f'--port: {port} cannot be used ({error}); allowed: a free port, or 0 '
        'for any'
      ) from error
    names = (HOST, 'localhost')
    self.hosts = {f'{name}:{self.server_port}' for name in names}

  @property
  def address(self) -> str:
    """The address of the page, with the token."""
    return f'http://{HOST}:{self.server_port}/{self.token}/'


class _Handler(BaseHTTPRequestHandler):
  """Answers one request."""

  server: ReviewServer
  # Seconds that a request may take to arrive.
  timeout = 60
  server_version, sys_version = 'datadiet', ''

  def do_GET(self) -> None:  # noqa: N802, the library's name.
    """Sends the page or the decisions."""
    name = self._name()
    if name is None:
      return
    if name == 'decisions':
      self._send(200, json.dumps(self.server.decisions.content()), _JSON)
      return
    path = self.server.pages.get(name)
    if path is None or not path.exists():
      self._send(404, 'There is nothing here.')
      return
    if path.suffix == '.csv':
      self._send(200, storage.read_bytes(path).decode(), _CSV)
      return
    # By this the page knows that there is somebody to send decisions to.
    served = '<body data-decisions="decisions">'
    page = storage.read_bytes(path).decode().replace('<body>', served, 1)
    self._send(200, page, _HTML)

  def do_POST(self) -> None:  # noqa: N802, likewise.
    """Takes decisions."""
    name = self._name()
    if name is None:
      return
    if name != 'decisions':
      self._send(404, 'There is nothing here.')
      return
    origin = self.headers.get('Origin')
    own = {f'http://{host}' for host in self.server.hosts}
    # No form of another page can send this type without asking first.
    is_json = self.headers.get_content_type() == _JSON
    if not is_json or (origin is not None and origin not in own):
      self._send(403, 'Decisions are taken from this page alone.')
      return
    length = self.headers.get('Content-Length', '')
    if not length.isdecimal() or int(length) > _MAX_BODY:
      self._send(413, 'The request has no length, or is too long.')
      return
    try:
      self.server.decisions.change(json.loads(self.rfile.read(int(length))))
    except (ValueError, RecursionError) as error:
      self._send(400, f'The request is no JSON: {error}')
    except NotSavedError as error:
      self._send(500, str(error))
    except DataDietError as error:
      self._send(400, str(error))
    else:
      self._send(200, '{}', _JSON)

  def _name(self) -> str | None:
    """What is asked for; None if it was refused."""
    if self.headers.get('Host') not in self.server.hosts:
      self._send(403, 'This address is not served here.')
      return None
    _, token, *rest = self.path.partition('?')[0].split('/', 2) + ['']
    # Compared in a time that tells nothing of how much is right.
    if not hmac.compare_digest(token.encode(), self.server.token.encode()):
      self._send(403, 'The address lacks the token that datadiet review says.')
      return None
    if self.path.partition('?')[0] == f'/{token}':
      # Without the slash, the page's own addresses would lack the token.
      self._send(404, 'The address has to end in a slash.')
      return None
    return rest[0]

  def _send(self, code: int, text: str, kind: str = 'text/plain') -> None:
    content = text.encode()
    self.send_response(code)
    for name, value in _HEADERS.items():
      self.send_header(name, value)
    self.send_header('Content-Type', kind)
    self.send_header('Content-Length', str(len(content)))
    # A request that was refused may have left its body unread.
    self.send_header('Connection', 'close')
    self.end_headers()
    self.wfile.write(content)

  def log_message(self, *unused: Any) -> None:
    """Logs nothing: the path has the token."""


@contextlib.contextmanager
def review_server(
  workdir: str | os.PathLike, port: int = 0
) -> Iterator[ReviewServer]:
  """A server of a workdir's page, whose decisions go to review/decisions.csv.

  Args:
    workdir: with a report; local.
    port: 0 for any that is free.

  Yields:
    The server, bound but not yet answering.

  Raises:
    DataDietError: if there is no report, the decisions there are cannot be
      used, somebody else reviews this workdir, or the port is taken.
  """
  results = load_results(workdir)
  report = results.workdir.report
  if not (report / 'index.html').exists():
    raise DataDietError(
      f'{report} has no page; run the stage report first (--stages=report)'
    )
  folder = results.workdir.root / 'review'
  with _alone(folder):
    decisions = DecisionsFile(folder, Reviewed.of(results))
    with ReviewServer(report, decisions, port) as server:
      yield server


@contextlib.contextmanager
def _alone(folder: epath.Path) -> Iterator[None]:
  """Holds the lock of a folder; it is created.

  Raises:
    DataDietError: if another process holds it.
  """
  with lock.hold(folder) as holder:
    if holder:
      raise DataDietError(f'{folder} is in use by {holder}')
    yield


def serve_review(
  workdir: str | os.PathLike, port: int, tell: Callable[[str], None]
) -> None:
  """Serves until the process is interrupted.

  Args:
    workdir: as of `review_server`.
    port: likewise.
    tell: is given the address, and where decisions go.

  Raises:
    DataDietError: as `review_server`.
  """
  interrupted = contextlib.suppress(KeyboardInterrupt)
  with interrupted, review_server(workdir, port) as server:
    tell(f'Open {server.address}')
    tell(f'Decisions: {server.decisions.path} ({len(server.decisions)} so far)')
    server.serve_forever()
