"""Tests the figures' content: what is drawn, and that it can be drawn."""

import io
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datadiet.reporting import figures, run_charts
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results


def _pixels(content: bytes) -> np.ndarray:
  return np.asarray(Image.open(io.BytesIO(content)).convert('RGB'))


def _drawn(workdir):
  results = load_results(workdir)
  accuracy = build_summary(results)['accuracy']
  return figures.result_figures(accuracy, results.scores)


def test_figures_of_what_there_is(workdir):
  drawn = _drawn(workdir)
  assert list(drawn) == ['accuracy', 'histograms']
  assert all(_pixels(content).std() > 5 for content in drawn.values())
  shutil.rmtree(workdir.root / 'retrain')
  assert list(_drawn(workdir)) == ['histograms']
  shutil.rmtree(workdir.root / 'scores')
  assert _drawn(workdir) == {}


def test_a_figure_needs_nothing_from_elsewhere():
  spec = {
    'data': {'url': 'https://example.com/rows.json'},
    'mark': 'bar',
    'encoding': {'x': {'field': 'a', 'type': 'quantitative'}},
  }
  with pytest.raises(ValueError, match='[Aa]ccess denied|not allowed'):
    figures.render_png(spec)


def test_figures_are_the_charts_of_the_page(workdir):
  accuracy = build_summary(load_results(workdir))['accuracy']
  spec = run_charts.accuracy_chart(accuracy) | {'width': 560, 'height': 360}
  drawn = figures.result_figures(accuracy, load_results(workdir).scores)
  assert drawn['accuracy'] == figures.render_png(spec)


def _histograms(scores: pd.DataFrame) -> dict:
  """Title -> the counts drawn below it."""
  spec = figures.histograms_chart(scores)
  return {
    panel['title']: [
      row['examples'] for row in spec['datasets'][panel['data']['name']]
    ]
    for panel in spec['concat']
  }


def test_histograms_count_what_has_no_score():
  scores = pd.DataFrame({'el2n': [0, 1, 1, np.nan, np.inf], 'aum': 1.0})
  drawn = _histograms(scores)
  assert list(drawn) == ['el2n (2 without)', 'aum']
  assert sum(drawn['el2n (2 without)']) == 3
  assert sum(drawn['aum']) == 5


@pytest.mark.parametrize('value', [3.0, np.nan])
def test_histograms_of_one_value_are_drawn(value):
  scores = pd.DataFrame({'forgetting': [value] * 10})
  content = figures.render_png(figures.histograms_chart(scores))
  assert _pixels(content).std() > 1


def test_extreme_examples_are_those_of_each_class():
  labels = np.array([0, 1, 0, 1, 0, 1, 0])
  scores = np.array([3, 9, 1, np.nan, 3, 7, 2], np.float32)
  lowest, highest = figures.extreme_examples(scores, labels, 3, 2)
  assert [list(members) for members in lowest] == [[2, 6], [5, 1], []]
  # 0 and 4 are equal: the smaller example_index first.
  assert [list(members) for members in highest] == [[0, 4], [1, 5], []]


@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_grids_show_the_images(channels):
  images = np.zeros((4, 8, 8, channels), np.uint8)
  images[2] = 200
  rows = [np.array([2, 1]), np.array([], int)]
  figure = figures.grid_figure('t', images, rows, ['a', '$b_$'], 3)
  canvas = np.asarray(figure)[:, :, 0]
  # The grid is what is left below the title and right of the names.
  (top, left) = np.argwhere(canvas == 200)[0]
  assert (canvas[top : top + 72, left : left + 72] == 200).all()
  assert (canvas[top : top + 72, left + 76 : left + 148] == 0).all()
  assert (canvas[top + 72 :, left:] == 255).all()
  assert _pixels(figures.encode_png(figure)).std() > 5


@pytest.mark.parametrize('name', ['', 'a\nb', '猫', 'x' * 500])
def test_any_class_name_has_its_place(name):
  images = np.zeros((1, 8, 8, 3), np.uint8)
  figure = figures.grid_figure('title', images, [np.array([0])], [name], 1)
  assert figure.width < 400


def test_options_make_lines_of_their_own(workdir):
  rows = build_summary(load_results(workdir))['accuracy']
  row = next(row for row in rows if row['policy'] == 'keep_max')
  plain = 'keep_max, el2n, step 60'
  assert run_charts.series_name(row) == plain
  balanced = row | {'class_balanced': True}
  assert run_charts.series_name(balanced) == f'{plain}, balanced'
  with_option = row | {'options': {'by': 3}}
  assert run_charts.series_name(with_option) == f'{plain}, by 3'
