"""Tests of importing modules of the user's."""

import sys

import pytest

from datadiet.errors import ConfigError
from datadiet.settings import plugins


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, 'path', [path for path in sys.path if path])
  monkeypatch.setattr(sys, 'modules', {**sys.modules})


def test_a_module_of_the_current_folder_is_imported_once(tmp_path):
  (tmp_path / 'mine_once.py').write_text('import sys\nsys.counted = []\n')
  plugins.load(('mine_once',))
  (tmp_path / 'mine_once.py').write_text('1 / 0')
  plugins.load(('mine_once',))
  assert sys.counted == []
  del sys.counted


@pytest.mark.parametrize('name', ['none_such', 'none_such.below', 'os.none'])
def test_a_missing_module_is_one_sentence(name, tmp_path):
  with pytest.raises(ConfigError) as caught:
    plugins.load((name,))
  assert str(caught.value).startswith(
    f'config.plugins: there is no module {name!r}; allowed: '
  )
  assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('x = 1\n1 / 0\n', 'line 2: ZeroDivisionError: division by zero'),
    ('def f(:\n', 'line 1: SyntaxError: '),
    (
      'import none_such\n',
      "line 1: ModuleNotFoundError: No module named 'none",
    ),
  ],
)
def test_a_module_that_fails_names_its_line(text, message, tmp_path):
  (tmp_path / 'failing.py').write_text(text)
  with pytest.raises(ConfigError) as caught:
    plugins.load(('failing',))
  assert f'failing.py, {message}' in str(caught.value)
  assert '\n' not in str(caught.value)
