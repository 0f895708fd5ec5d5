"""Tests the page's file: what it carries, its size, and odd data sets."""

import html
import json
import re

import jinja2
import numpy as np
import pytest

from datadiet.reporting import analysis, page, payload, sections
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results
from datadiet.workdir import artifacts
from tests.results import synthetic


def _render(workdir, dataset) -> str:
  results = load_results(workdir)
  return page.render_page(results, build_summary(results), dataset)


def _json(text: str, name: str):
  found = re.search(rf'id="{name}">(.*?)</script>', text, re.DOTALL)
  return json.loads(found[1])


def _array(text: str, name: str, dtype) -> np.ndarray:
  found = re.search(rf'data-array="{name}">(.*?)</script>', text)
  return payload.unpack(found[1], dtype)


@pytest.mark.parametrize(
  ('names', 'keys'),
  [
    ('cat dog', '0 1'),
    ('1 2 3', '1 2 3'),
    ('0 1', '0 1'),
    # The first digits that are no class's name.
    ('0 2 cat dog', '0 2 1 3'),
  ],
)
def test_a_class_called_by_a_digit_has_its_key(names, keys):
  assert sections.class_keys(names.split()) == keys.split()


def test_no_class_has_a_key_where_there_are_many():
  assert sections.class_keys([str(i) for i in range(11)]) == [''] * 11


def test_arrays_come_back_as_they_were():
  array = np.arange(7, dtype='>f4')
  packed = payload.pack(array)
  np.testing.assert_array_equal(payload.unpack(packed, '<f4'), array)
  assert payload.pack(array) == packed


def test_the_page_carries_scores_and_selections(workdir, dataset):
  text, results = _render(workdir, dataset), load_results(workdir)
  described = _json(text, 'report-payload')
  names = [score['name'] for score in described['scores']]
  assert names == list(synthetic.HIGHER_IS)
  scores = results.scores
  for position, name in enumerate(names):
    found = _array(text, f'score-{position}', '<f4')
    np.testing.assert_array_equal(found, scores[name])
  labels = _array(text, 'labels', '<i4')
  np.testing.assert_array_equal(labels, dataset.train.labels)
  for position, selection in enumerate(described['selections']):
    bits = _array(text, f'kept-{position}', 'u1')
    kept = np.flatnonzero(np.unpackbits(bits, bitorder='little'))
    chosen = results.selections[selection['name']]
    expected = next(iter(chosen.example_index.values()))
    np.testing.assert_array_equal(kept, expected)


def test_the_page_needs_no_other_file(workdir, dataset):
  markup = _render(workdir, dataset).split('<script', 1)[0]
  for target in re.findall(r'(?:src|href)="([^"]*)"', markup):
    assert target.startswith(('#', 'data:'))
  assert 'connect-src data:' in markup


def test_the_page_is_cut_to_size(tmp_path):
  dataset = synthetic.make_images(num_examples=2000, size=32)
  workdir = synthetic.make_workdir(tmp_path, dataset)
  results = load_results(workdir)
  summary = build_summary(results)
  large = page.render_page(results, summary, dataset)
  assert _json(large, 'report-payload')['thumbnails']['num_left_out'] == 0
  limit = len(page.render_page(results, summary)) + 100_000
  small = page.render_page(results, summary, dataset, max_bytes=limit)
  assert len(small.encode()) <= limit
  left_out = _json(small, 'report-payload')['thumbnails']['num_left_out']
  assert 0 < left_out < 2000
  sentence = f'{left_out:,} of 2,000 examples have no thumbnail'
  assert sentence in small


def test_scores_that_are_too_large_alone_are_said_to_be(workdir, dataset):
  results = load_results(workdir)
  for images in (None, dataset):
    text = page.render_page(
      results, build_summary(results), images, max_bytes=50_000
    )
    assert 'MB without any image' in text
  assert 'no example has a thumbnail' in text
  assert 'MB without any image' not in _render(workdir, dataset)


@pytest.mark.parametrize('channels, num_classes', [(1, 2), (3, 100)])
def test_other_kinds_of_data(tmp_path, channels, num_classes):
  names = tuple(f'class {number}' for number in range(num_classes))
  dataset = synthetic.make_images(600, names, channels)
  workdir = synthetic.make_workdir(tmp_path, dataset)
  assert names[-1] in _render(workdir, dataset)


def test_scores_that_some_examples_lack(workdir, dataset):
  path = workdir.scores(None, 60) / 'forgetting.npy'
  forgetting = np.load(path)
  forgetting[3] = np.nan
  np.save(path, forgetting)
  position = list(synthetic.HIGHER_IS).index('forgetting')
  text = _render(workdir, dataset)
  found = _array(text, f'score-{position}', '<f4')
  assert np.isnan(found[3]) and np.isfinite(np.delete(found, 3)).all()


def test_the_settings_are_shown_escaped(workdir, dataset):
  path = workdir.config
  path.write_text(path.read_text().replace('simple_cnn', '<i>cnn</i>'))
  text = _render(workdir, dataset)
  assert '<i>cnn' not in text
  assert '<i>cnn</i>' in html.unescape(text)


def test_the_primary_score_is_one_that_selections_read(workdir):
  results = load_results(workdir)
  assert page.primary_scores(results) == ('el2n', 'grand')
  for selection in list(results.selections):
    (workdir.selection(selection) / 'manifest.json').unlink(missing_ok=True)
  results = load_results(workdir)
  assert page.primary_scores(results) == ('el2n', 'grand')


def test_scores_are_those_of_the_scored_step_alone(tmp_path, dataset):
  workdir = artifacts.Workdir.at(tmp_path)
  synthetic.write_description(workdir, dataset)
  synthetic.write_scores(workdir, dataset, 60, ('el2n', 'mean_confidence'))
  for run in range(synthetic.NUM_RUNS):
    later = dict.fromkeys(('visits', 'num_correct', 'confidence_mean'), 1.0)
    later = {name: np.full(120, value) for name, value in later.items()}
    later['confidence_m2'] = np.zeros(120)
    folder = workdir.run('train', run) / 'dynamics'
    artifacts.write_npz(folder / 'step_90.npz', later)
  text = _render(workdir, None)
  described = _json(text, 'report-payload')['scores']
  names = [score['name'] for score in described]
  assert names == ['el2n', 'mean_confidence', 'variability', 'correctness']
  found = _array(text, 'score-1', '<f4')
  expected = load_results(workdir).scores['mean_confidence']
  np.testing.assert_array_equal(found, expected)
  assert 'over training up to step 90' in text


def test_one_score_is_shown_against_what_else_there_is(tmp_path, dataset):
  workdir = artifacts.Workdir.at(tmp_path)
  synthetic.write_description(workdir, dataset)
  synthetic.write_scores(workdir, dataset, 60, ('aum',))
  synthetic.write_audit(workdir, dataset)
  text = _render(workdir, None)
  (options,) = re.findall(r'id="density-y".*?</select>', text, re.DOTALL)
  assert re.findall('selected>(.*?)<', options) == ['suspicion']
  # Of the data map, which there is none of, nothing is listed.
  described = _json(text, 'report-payload')['scores']
  assert [score['name'] for score in described] == ['aum', 'suspicion']


def test_every_score_is_explained(tmp_path, dataset):
  workdir = synthetic.make_workdir(tmp_path, dataset)
  synthetic.write_audit(workdir, dataset)
  described = _json(_render(workdir, None), 'report-payload')['scores']
  ends = {score['name']: score['higher_is'] for score in described}
  assert ends['suspicion'] == 'more suspicious'
  assert all(score['definition'] for score in described)


@pytest.mark.parametrize(
  'num_runs, fraction, expected',
  [
    (1, 1.0, 'Scores of step 60, of one run.'),
    (3, 1.0, 'Scores of step 60, means over 3 runs, or over'),
    (3, 0.5, 'those of 3 runs that trained on the example.'),
  ],
)
def test_the_page_says_what_scores_are_means_of(
  workdir, num_runs, fraction, expected
):
  for run in range(num_runs, synthetic.NUM_RUNS):
    (workdir.scores(run, 60) / artifacts.MANIFEST).unlink()
  config = artifacts.read_json(workdir.config)
  config['config']['train']['subset_fraction'] = fraction
  artifacts.write_json(workdir.config, config)
  text = _render(workdir, None)
  assert expected in text
  assert ('trained on or not' in text) == (fraction < 1)


def test_heat_maps_of_the_last_step_do_not_claim_more(workdir, monkeypatch):
  assert 'between mean scores, by scored step.' in _render(workdir, None)
  monkeypatch.setattr(analysis, '_MAX_CORRELATED', 10)
  assert 'between mean scores of the last scored step.' in (
    _render(workdir, None)
  )


def test_a_class_that_the_test_split_lacks(workdir):
  folder = workdir.run('train', 0)
  values = {'class_accuracy': [0.5, None, 1.0]}
  manifest = artifacts.read_manifest(folder) | values
  artifacts.write_manifest(folder, manifest)
  text = _render(workdir, None)
  assert 'nan' not in text.split('<script', 1)[0]
  assert '<th scope="col">scoring runs</th>' in text


def _new_section(material):
  return {'text': f'{material.results.num_examples} examples'}


def test_a_new_section_is_a_function_a_template_and_an_entry(
  workdir, monkeypatch
):
  template = '{{ ui.missing("only " ~ text) }}'
  head = '{% import "macros.html" as ui with context %}'
  environment = page._environment()
  environment.loader = jinja2.ChoiceLoader(
    [jinja2.DictLoader({'new.html': head + template}), environment.loader]
  )
  monkeypatch.setattr(page, '_environment', lambda: environment)
  section = sections.Section('Something new', 'new.html', _new_section)
  monkeypatch.setitem(sections.SECTIONS, 'new', section)
  text = _render(workdir, None)
  assert '<li><a href="#new">Something new</a></li>' in text
  assert '<p class="notice">only 120 examples</p>' in text
  assert text.index('id="duplicates"') < text.index('<section id="new"')


def test_the_title_is_the_folders_name(tmp_path, workdir):
  photos = tmp_path / 'my photos'
  photos.mkdir()
  content = artifacts.read_json(workdir.config)
  content['config']['dataset'] = {
    'name': 'image_folder',
    'data_dir': str(photos),
  }
  artifacts.write_json(workdir.config, content)
  text = _render(workdir, None)
  assert '<h1>my photos on a diet</h1>' in text
  assert _json(text, 'report-originals') == f'{photos.as_uri()}/'
  assert 'my%20photos' in _json(text, 'report-originals')
  photos.rmdir()
  # Not on this machine: there is nothing to link to.
  assert _json(_render(workdir, None), 'report-originals') == ''


def test_the_page_begins_with_what_is_worse_than_random(workdir):
  assert 'worse than as many random' not in _render(workdir, None)
  for run in range(synthetic.NUM_RUNS):
    folder = workdir.run('retrain/el2n_step_60_keep_max_60', run)
    manifest = artifacts.read_manifest(folder) | {'test_accuracy': 0.5}
    artifacts.write_manifest(folder, manifest)
  text = _render(workdir, None)
  first = text[text.index('<h2 id="summary-title">') :]
  first = re.search(r'<p[^>]*>(.*?)</p>', first)[1]
  assert 'keep_max_60 is 40.20 points worse than as many random' in first
