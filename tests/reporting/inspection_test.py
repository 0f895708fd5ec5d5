"""Tests that the page shows what the inspection found, and filters by it."""

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.reporting import figures, page, write_report
from datadiet.reporting.payload import build_payload, unpack
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results
from datadiet.results.inspection import read_inspection
from datadiet.workdir import artifacts, tables
from tests.results import synthetic


@pytest.fixture
def dataset():
  return synthetic.make_images(120, ('cat', 'dog'))


@pytest.fixture
def workdir(tmp_path, dataset):
  """A scored workdir with an inspection: a leak, copies, a dark image."""
  workdir = artifacts.Workdir.at(tmp_path)
  synthetic.write_description(workdir, dataset)
  synthetic.write_scores(workdir, dataset, 60, ('el2n',))
  ids, test_ids = dataset.train.ids, dataset.test.ids
  folder = workdir.inspection

  def write(name, columns, rows):
    artifacts.write_csv(folder / name, columns, rows)

  write(
    tables.NEAR_DUPLICATES,
    tables.NEAR_DUPLICATES_COLUMNS,
    [
      ('train', 1, ids[1], 0, 'train', 2, ids[2], 0, 0, 1, 'exact', 0),
      ('train', 5, ids[5], 0, 'train', 6, ids[6], 1, 0.3, 0, 'both', 1),
      ('train', 9, ids[9], 1, 'test', 4, test_ids[4], 1, 0.5, 0, 'pixels', 2),
    ],
  )
  write(
    tables.DUPLICATE_GROUPS,
    tables.DUPLICATE_GROUPS_COLUMNS,
    [
      (1, ids[1], 'train', 0, 1),
      (2, ids[2], 'train', 0, 0),
      (5, ids[5], 'train', 1, 0),
      (6, ids[6], 'train', 1, 1),
      (4, test_ids[4], 'test', 2, 1),
      (9, ids[9], 'train', 2, 0),
    ],
  )
  flags = {7: 'dark', 9: 'dark;blurry'}
  write(
    tables.INSPECTED_EXAMPLES,
    ('example_index', 'id', 'dark', 'flags'),
    [(i, one, 0.1, flags.get(i, '')) for i, one in enumerate(ids)],
  )
  write(
    tables.BAD_GROUPS,
    tables.BAD_GROUPS_COLUMNS,
    [(0, 31, 0.41, 'dog', 0.9, '11;12;13')],
  )
  write(tables.SHORTCUTS, tables.SHORTCUTS_COLUMNS, [('brightness', 0.62)])
  artifacts.write_manifest(
    folder,
    {
      'fingerprint': dataset.fingerprint,
      'embeddings': 'features of run 0 at step 60',
      'sizes_of': None,
      'duplicates': {'threshold': 0.7},
      'flags': {'blurry': 1, 'dark': 2, 'outlier': 0},
      'bad_groups': 1,
      'shortcuts': ['brightness'],
      'drift': {
        'accuracy': 0.81,
        'p_value': 0.0,
        'found': True,
        'property': 'sharpness',
      },
    },
  )
  return workdir


def _page(workdir, dataset):
  results = load_results(workdir)
  return page.render_page(results, build_summary(results), dataset)


def _section(text, name):
  return text.split(f'<section id="{name}"', 1)[1].split('</section>', 1)[0]


def test_leaks_come_first_then_labels_that_differ(workdir, dataset):
  section = _section(_page(workdir, dataset), 'duplicates')
  leak = section.index('test 4 (')
  conflict = section.index('different labels</strong>, 0.300')
  assert leak < conflict < section.index('exact: train 1')
  assert '<dt>near, train and test</dt><dd>1</dd>' in section
  assert 'Show the 3 copies that need not be kept' in section
  assert section.count('<img src="data:image/png') == 6


def test_flags_groups_shortcuts_and_drift_are_told(workdir, dataset):
  section = _section(_page(workdir, dataset), 'images')
  assert 'nearly black' in section and '<td>2</td>' in section
  assert 'outlier' not in section.split('</table>', 1)[0]
  assert '41 %' in section and 'dog (90 %)' in section
  assert 'data-example="11"' in section
  assert '<strong>brightness</strong>: tells the label' in section
  assert 'accuracy of 81.0 %, most of all by sharpness' in section
  assert 'sizes of the files are not known' in section


def test_what_to_do_leads_to_the_findings(workdir, dataset, monkeypatch):
  monkeypatch.setattr(figures, 'render_png', lambda spec: b'')
  rows = {one['name']: one for one in write_report(workdir, dataset)['actions']}
  group, shortcut = rows['bad_groups'], rows['shortcuts']
  assert group['num_examples'] == 3 and not shortcut['num_examples']
  files = {path.name for path in (workdir.report / 'actions').iterdir()}
  assert {f'actions/{file}' for file in files} == {
    one['file'] for one in rows.values() if one['file']
  }
  listed = (workdir.report / group['file']).read_text().splitlines()[1:]
  assert [line.split(',')[0] for line in listed] == ['11', '12', '13']
  text = (workdir.report / 'index.html').read_text()
  todo = _section(text, 'actions')
  for row in (group, shortcut, rows['drift']):
    assert f'href="#{row["section"]}"' in todo
    assert f'<h3 id="{row["section"]}">' in _section(text, 'images')
  # A filter of no examples is no filter; places stay those of the list.
  assert '>shortcuts</option>' not in text
  place = list(rows).index('dark')
  assert f'<option value="{place}">dark</option>' in text
  assert todo.count('data-show=') == len(files) == todo.count('>CSV</a>')


def test_flags_are_bits_that_the_gallery_filters_by(workdir, dataset):
  results = load_results(workdir)
  inspection = read_inspection(results)
  meta, arrays = build_payload(results, None, inspection)
  assert meta['flags'] == [
    {'name': 'duplicate', 'num': 3},
    {'name': 'blurry', 'num': 1},
    {'name': 'dark', 'num': 2},
  ]
  bits = unpack(arrays['flags'], '<i4')
  expected = {2: 1, 5: 1, 7: 4, 9: 7}
  assert {int(i): int(bits[i]) for i in np.flatnonzero(bits)} == expected
  text = _page(workdir, dataset)
  assert '<option value="dark">dark (2)</option>' in text


def test_without_an_inspection_the_page_says_so(workdir, dataset):
  (workdir.inspection / artifacts.MANIFEST).unlink()
  text = _page(workdir, dataset)
  for name in ('duplicates', 'images'):
    assert 'were not inspected; run the stages' in _section(text, name)
  assert '<select name="flag">' not in text


def test_without_images_there_are_numbers(workdir):
  text = _page(workdir, None)
  assert '<dd>1</dd>' in _section(text, 'duplicates')
  assert '<img' not in _section(text, 'duplicates')


def test_an_inspection_of_other_data_is_refused(workdir):
  manifest = artifacts.read_manifest(workdir.inspection)
  artifacts.write_manifest(
    workdir.inspection, {**manifest, 'fingerprint': 'other'}
  )
  with pytest.raises(DataDietError, match='was made for other data'):
    read_inspection(load_results(workdir))


def test_a_table_of_another_length_is_refused(workdir):
  path = workdir.inspection / tables.INSPECTED_EXAMPLES
  lines = path.read_text().splitlines(keepends=True)
  path.write_text(''.join(lines[:-1]))
  with pytest.raises(DataDietError, match='119 rows, the data set 120'):
    read_inspection(load_results(workdir))
