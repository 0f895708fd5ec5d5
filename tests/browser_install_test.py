"""Tests what `make test-browser` installs, and says where it cannot."""

import shutil
import subprocess

import pytest

from tests import running

SCRIPT = running.REPOSITORY / 'tests' / 'browser' / 'install.sh'
_BROWSER = ('chromium', 'chromedriver')


@pytest.fixture
def install(tmp_path):
  """(programs there are, user id, of these the one that fails) -> result."""
  folder = tmp_path / 'programs'
  log = tmp_path / 'log'

  def run(programs, user_id=0, failing=''):
    folder.mkdir()
    log.touch()
    for name in (*programs, 'id'):
      code = f'echo "{name} $*" >>{log}; exit {int(name == failing)}'
      if name == 'id':
        code = f'echo {user_id}'
      (folder / name).write_text(f'#!{shutil.which("bash")}\n{code}\n')
      (folder / name).chmod(0o755)
    done = subprocess.run(
      [shutil.which('bash'), SCRIPT],
      env={'PATH': str(folder)},
      capture_output=True,
      text=True,
    )
    return done.returncode, done.stderr, log.read_text().splitlines()

  return run


_AXE = 'npm install --silent --no-save --no-package-lock axe-core@4.14.1'


def test_what_is_there_is_not_installed(install):
  assert install((*_BROWSER, 'npm')) == (0, '', [_AXE])


def test_what_is_missing_is_installed_after_an_update(install):
  assert install(('npm', 'apt-get')) == (
    0,
    '',
    [
      'apt-get update -qq',
      'apt-get install -qq -y chromium chromium-driver',
      _AXE,
    ],
  )


@pytest.mark.parametrize(
  ('programs', 'options', 'message'),
  [
    (
      ('npm',),
      {},
      'chromium chromium-driver must be installed first: there is no apt-get '
      'to do it.',
    ),
    (_BROWSER, {}, 'npm must be installed first: there is no apt-get'),
    (
      ('apt-get',),
      {'user_id': 1000},
      'as root, first: apt-get install chromium chromium-driver npm',
    ),
    (
      ('npm', 'apt-get'),
      {'failing': 'apt-get'},
      'apt-get could not install chromium chromium-driver.',
    ),
    (
      (*_BROWSER, 'npm'),
      {'failing': 'npm'},
      'npm could not install axe-core.',
    ),
  ],
)
def test_what_cannot_be_installed_is_said(install, programs, options, message):
  code, said, _ = install(programs, **options)
  assert code == 1
  assert said.startswith(f'make test-browser: {message}')
  assert said.count('\n') == 1
