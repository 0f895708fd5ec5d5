"""Tests the figures' content: what is drawn, and that it can be drawn."""

import io
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datadiet.reporting import figures
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results
from tests.results import synthetic


def _pixels(figure) -> np.ndarray:
  content = figures.render_png(figure)
  return np.asarray(Image.open(io.BytesIO(content)).convert('RGB'))


def _drawn(workdir):
  results = load_results(workdir)
  accuracy = build_summary(results)['accuracy']
  return figures.result_figures(accuracy, results.scores)


def test_figures_of_what_there_is(workdir):
  drawn = _drawn(workdir)
  assert list(drawn) == ['accuracy', 'histograms']
  (axes,) = drawn['accuracy'].axes
  assert axes.get_ylabel() == 'test accuracy (%)'
  assert len(drawn['histograms'].axes) == len(synthetic.HIGHER_IS)
  shutil.rmtree(workdir.root / 'retrain')
  assert list(_drawn(workdir)) == ['histograms']
  shutil.rmtree(workdir.root / 'scores')
  assert _drawn(workdir) == {}


def test_the_accuracy_figure_has_a_line_a_policy(workdir):
  accuracy = build_summary(load_results(workdir))['accuracy']
  figure = figures.accuracy_figure(accuracy)
  (axes,) = figure.axes
  labels = axes.get_legend_handles_labels()[1]
  assert labels == ['full data', 'keep_max, el2n, step 60', 'random']
  line = axes.containers[0].lines[0]
  np.testing.assert_allclose(line.get_xdata().astype(float), [30, 50])
  np.testing.assert_allclose(line.get_ydata().astype(float), [95.2, 95.2])
  (bars,) = axes.containers[0].lines[2]
  ends = np.stack(bars.get_segments())[:, :, 1]
  np.testing.assert_allclose(ends, [[95.0, 95.4]] * 2)
  assert _pixels(figure).std() > 5


def test_no_accuracy_figure_before_retraining(workdir):
  full = build_summary(load_results(workdir))['accuracy'][:1]
  assert figures.accuracy_figure(full) is None
  assert figures.accuracy_figure([]) is None


def test_histograms_count_what_has_no_score():
  scores = pd.DataFrame({'el2n': [0, 1, 1, np.nan, np.inf], 'aum': 1.0})
  el2n, aum = figures.histograms_figure(scores).axes
  assert el2n.patches[0].get_data().values.sum() == 3
  assert aum.patches[0].get_data().values.sum() == 5
  assert el2n.get_title() == 'el2n (2 without)'
  assert aum.get_title() == 'aum'


@pytest.mark.parametrize('value', [3.0, np.nan])
def test_histograms_of_one_value_are_drawn(value):
  scores = pd.DataFrame({'forgetting': [value] * 10})
  assert _pixels(figures.histograms_figure(scores)).std() > 1


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
  (shown,) = figure.axes[0].get_images()
  canvas = shown.get_array()
  assert (canvas[:8, :8] == 200).all()
  assert (canvas[:8, 9:17] == 0).all()
  assert (canvas[9:] == 255).all()
  assert _pixels(figure).std() > 5


def test_figures_leave_pyplot_alone(workdir):
  accuracy = build_summary(load_results(workdir))['accuracy']
  loaded = 'matplotlib.pyplot' in sys.modules
  figures.render_png(figures.accuracy_figure(accuracy))
  assert ('matplotlib.pyplot' in sys.modules) == loaded


def test_options_make_lines_of_their_own(workdir, dataset):
  kept = np.arange(60)
  names = [f'el2n_step_60_keep_max_60{end}' for end in ('_balanced', '_by_3')]
  for name in names:
    synthetic.write_selection(workdir, dataset, name, kept)
  rows = build_summary(load_results(workdir))['accuracy']
  series = {row['selection']: figures.series_name(row) for row in rows}
  plain = 'keep_max, el2n, step 60'
  assert series['el2n_step_60_keep_max_60'] == plain
  assert [series[name] for name in names] == [
    f'{plain}, balanced',
    f'{plain}, by 3',
  ]
