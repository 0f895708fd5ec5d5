"""Tests that files of decisions are read, and refused with their line."""

import pytest

from datadiet.errors import DataDietError
from datadiet.reviewing import decisions as decisions_lib
from datadiet.reviewing.decisions import Decision, read_decisions

_HEADER = 'example_index,id,decision,label'


def _read(tmp_path, reviewed, *lines, header=_HEADER):
  path = tmp_path / 'decisions.csv'
  path.write_text('\n'.join([header, *lines]) + '\n')
  return read_decisions(path, reviewed)


def test_what_is_written_is_read_back(tmp_path, reviewed):
  new = (int(reviewed.labels[7]) + 2) % 3
  decided = {
    7: Decision('relabel', new),
    3: Decision('keep'),
    119: Decision('drop'),
    5: Decision('unsure'),
  }
  path = tmp_path / 'decisions.csv'
  decisions_lib.write_decisions(path, decided, reviewed)
  assert read_decisions(path, reviewed) == decided
  lines = path.read_text().splitlines()
  assert lines[0] == f'{_HEADER},fingerprint'
  assert [line.split(',')[0] for line in lines[1:]] == ['3', '5', '7', '119']


def test_a_spreadsheet_may_have_touched_the_file(tmp_path, reviewed):
  path = tmp_path / 'decisions.csv'
  lines = (
    'id,decision, label,example_index',
    'train_2,drop,,2',
    ' ,,\t ,',
    'train_3,Keep, ,3',
    'train_4, UNSURE ,,0004',
    '',
  )
  text = '\r\n'.join([*lines, ''])
  path.write_bytes(b'\xef\xbb\xbf' + text.encode())
  assert read_decisions(path, reviewed) == {
    2: Decision('drop'),
    3: Decision('keep'),
    4: Decision('unsure'),
  }


@pytest.mark.parametrize(
  ('header', 'name'),
  [
    ('example_index;id;decision;label', 'semicolons'),
    ('"example_index";"id";"decision";"label"', 'semicolons'),
    ('example_index\tid\tdecision\tlabel', 'tabs'),
  ],
)
def test_other_separators_are_told(tmp_path, reviewed, header, name):
  told = f'line 1: the columns are separated by {name}; allowed: commas'
  with pytest.raises(DataDietError, match=told):
    _read(tmp_path, reviewed, '0;train_0;keep;', header=header)


def test_a_label_that_stays_was_found_right(tmp_path, reviewed):
  name = reviewed.class_names[reviewed.labels[4]]
  found = _read(tmp_path, reviewed, f'4,train_4,relabel,"{name}"')
  assert found == {4: Decision('keep')}


@pytest.mark.parametrize(
  ('line', 'told'),
  [
    ('120,train_120,keep,', "example_index '120' is not allowed; allowed: 0 t"),
    ('-1,train_1,keep,', "example_index '-1' is not allowed"),
    ('1.0,train_1,keep,', "example_index '1.0' is not allowed"),
    (',train_1,keep,', "example_index '' is not allowed"),
    (f'{"9" * 5000},train_1,keep,', f"'{'9' * 40}...' is not allowed"),
    ('1,train_2,keep,', "example 1 has the id 'train_1', not 'train_2'"),
    ('1,nobody,keep,', "example 1 has the id 'train_1', not 'nobody'"),
    ('1,train_1,remove,', "decision 'remove' is not allowed; allowed: keep, r"),
    ('1,train_1,keep,dog', "label 'dog' is not allowed with the decision"),
    ('1,train_1,relabel,dgo', "'dgo' is no class; allowed: cat, dog, bird, sm"),
    ('1,train_1,relabel,', "the label '' is no class"),
    ('0,train_0,drop,', 'example 0 was decided in line 2 already'),
    ('1,train_1,keep', 'there are 3 cells for 4 columns'),
    ('1,train_1,relabel,bird, small', 'there are 5 cells for 4 columns'),
  ],
)
def test_a_wrong_line_is_refused_by_its_number(tmp_path, reviewed, line, told):
  with pytest.raises(DataDietError) as error:
    _read(tmp_path, reviewed, '0,train_0,keep,', line)
  path = tmp_path / 'decisions.csv'
  assert str(error.value).startswith(f'{path}, line 3: ')
  assert told in str(error.value)


@pytest.mark.parametrize(
  'header',
  [
    'example_index,id,decision',
    'example_index,id,decision,label,label',
    f'{_HEADER},note',
    '',
  ],
)
def test_wrong_columns_are_refused(tmp_path, reviewed, header):
  with pytest.raises(DataDietError, match='line 1: the columns .* are not all'):
    _read(tmp_path, reviewed, header=header)


def test_decisions_on_other_data_are_refused(tmp_path, reviewed):
  header = f'{_HEADER},fingerprint'
  right = f'0,train_0,keep,,{reviewed.fingerprint}'
  assert _read(tmp_path, reviewed, right, '1,train_1,drop,,', header=header)
  # Labels changed on purpose count, too: what was kept was another label.
  assert '-' in reviewed.fingerprint
  for other in ('0123', reviewed.fingerprint.partition('-')[0]):
    with pytest.raises(DataDietError, match='line 3: .*other data') as error:
      _read(
        tmp_path, reviewed, right, f'1,train_1,keep,,{other}', header=header
      )
    assert reviewed.fingerprint in str(error.value)


def test_files_that_are_no_tables_are_refused(tmp_path, reviewed):
  path = tmp_path / 'decisions.csv'
  with pytest.raises(DataDietError, match='does not exist'):
    read_decisions(path, reviewed)
  for content in (b'\xff\xfe\x00', f'{_HEADER}\n0,"train'.encode()):
    path.write_bytes(content)
    with pytest.raises(DataDietError, match='is not a CSV file'):
      read_decisions(path, reviewed)
