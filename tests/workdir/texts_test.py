"""Tests the reading of text files that users saved."""

import pytest
from etils import epath

from datadiet.errors import DataDietError
from datadiet.workdir import texts


@pytest.mark.parametrize(
  ('content', 'lines'),
  [
    (b'a.png\nb.png\n', ['a.png', 'b.png']),
    (b'a.png\nb.png', ['a.png', 'b.png']),
    (b'a.png\r\nb.png\r\n', ['a.png', 'b.png']),
    (b'a.png\r\nb.png', ['a.png', 'b.png']),
    (b'\xef\xbb\xbfa.png\r\n', ['a.png']),
    # Names of files may hold these.
    (b'a\r\nb\x0c\xe2\x80\xa8c\n', ['a\r', 'b\x0c\u2028c']),
    (b'', []),
  ],
)
def test_lines_are_those_that_were_written(tmp_path, content, lines):
  path = epath.Path(tmp_path / 'ids.txt')
  path.write_bytes(content)
  assert texts.read_lines(path) == lines


@pytest.mark.parametrize('encoding', ['utf-16', 'latin-1'])
def test_other_encodings_are_refused(tmp_path, encoding):
  path = epath.Path(tmp_path / 'ids.txt')
  path.write_bytes('é.png\n'.encode(encoding))
  with pytest.raises(DataDietError, match='ids.txt is not text in UTF-8 .*dec'):
    texts.read_lines(path)
