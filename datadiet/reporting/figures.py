"""The report's PNG figures: accuracy, score histograms, grids of examples."""

import io

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from datadiet.reporting import analysis
from datadiet.reporting.summary import FULL

_BINS = 60
_HISTOGRAM_COLUMNS = 3
_BLUE = '#2f6db3'
_GREY = '#7a7a7a'


def render_png(figure: Figure, dpi: int = 120) -> bytes:
  """Draws a figure, without pyplot's global state."""
  buffer = io.BytesIO()
  FigureCanvasAgg(figure)
  figure.savefig(buffer, format='png', dpi=dpi)
  return buffer.getvalue()


def _labelled_axes(figure: Figure, x_label: str, y_label: str) -> Axes:
  axes = figure.add_subplot()
  axes.set_xlabel(x_label)
  axes.set_ylabel(y_label)
  axes.grid(alpha=0.25)
  axes.spines[['top', 'right']].set_visible(False)
  return axes


def series_name(row: dict) -> str:
  """What one line of the accuracy figure is called: policy, score, options.

  Args:
    row: of `summary["accuracy"]`.
  """
  parts = [row['policy'] or 'unknown policy']
  if row['score']:
    parts.append(row['score'])
  if row['step'] is not None:
    parts.append(f'step {row["step"]}')
  # A selection's name ends with its size and all that is not as usual.
  start = f'{row["policy"]}_{row["num_kept"]}_'
  _, _, unusual = row['selection'].rpartition(start)
  if start in row['selection']:
    parts.append(unusual.replace('_', ' '))
  return ', '.join(parts)


def result_figures(
  accuracy: list[dict], scores: pd.DataFrame
) -> dict[str, Figure]:
  """The figures that need no images, by file name; those there is data for.

  Args:
    accuracy: `summary["accuracy"]`.
    scores: as `Results.scores`.
  """
  figures = {'accuracy': accuracy_figure(accuracy)}
  names = analysis.score_columns(scores)
  if names:
    figures['histograms'] = histograms_figure(scores[names])
  return {name: figure for name, figure in figures.items() if figure}


def accuracy_figure(accuracy: list[dict]) -> Figure | None:
  """Test accuracy against the fraction kept, one line a policy.

  Args:
    accuracy: `summary["accuracy"]`.

  Returns:
    The figure, error bars being one standard deviation over runs; None if
    nothing was retrained.
  """
  known = [
    row
    for row in accuracy
    if row['mean_accuracy'] is not None and row['fraction'] is not None
  ]
  series: dict[str, list[dict]] = {}
  for row in known:
    if row['selection'] != FULL:
      series.setdefault(series_name(row), []).append(row)
  if not series:
    return None
  figure = Figure(figsize=(7, 4.5), layout='constrained')
  axes = _labelled_axes(figure, 'training data kept (%)', 'test accuracy (%)')
  full = [row for row in known if row['selection'] == FULL]
  for row in full:
    mean, std = 100 * row['mean_accuracy'], 100 * (row['std_accuracy'] or 0)
    axes.axhline(mean, color=_GREY, linestyle='--', label=FULL)
    axes.axhspan(mean - std, mean + std, color=_GREY, alpha=0.15, linewidth=0)
  for name, rows in series.items():
    rows = sorted(rows, key=lambda row: row['fraction'])
    axes.errorbar(
      [100 * row['fraction'] for row in rows],
      [100 * row['mean_accuracy'] for row in rows],
      yerr=[100 * (row['std_accuracy'] or 0) for row in rows],
      marker='o',
      capsize=3,
      linestyle=':' if name.startswith('random') else '-',
      label=name,
    )
  axes.legend(frameon=False)
  return figure


def histograms_figure(scores: pd.DataFrame) -> Figure:
  """How scores are distributed over the examples, side by side.

  Args:
    scores: one column a score, one row an example; at least one column. What
      is not finite is left out and counted.
  """
  num_rows = -(-scores.shape[1] // _HISTOGRAM_COLUMNS)
  num_columns = min(scores.shape[1], _HISTOGRAM_COLUMNS)
  size = (3.4 * num_columns, 2.2 * num_rows)
  figure = Figure(figsize=size, layout='constrained')
  for position, name in enumerate(scores.columns, 1):
    axes = figure.add_subplot(num_rows, num_columns, position)
    values = scores[name].to_numpy(np.float64)
    finite = values[np.isfinite(values)]
    if len(finite):
      # One outline is drawn many times faster than a bar for every bin.
      axes.stairs(*np.histogram(finite, _BINS), fill=True, color=_BLUE)
    left_out = len(values) - len(finite)
    note = f' ({left_out:,} without)' if left_out else ''
    axes.set_title(name + note, fontsize='medium')
    axes.spines[['top', 'right']].set_visible(False)
  figure.supylabel('examples')
  return figure


def extreme_examples(
  scores: np.ndarray, labels: np.ndarray, num_classes: int, num_images: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
  """The examples of each class with the lowest and with the highest scores.

  Args:
    scores: float32[N].
    labels: int32[N].
    num_classes: how many classes there are.
    num_images: at most so many a class.

  Returns:
    (lowest, highest), each a list over classes of example indices, the most
    extreme first; ties by example_index.
  """
  lowest, highest = [], []
  for label in range(num_classes):
    members = np.flatnonzero((labels == label) & np.isfinite(scores))
    values = scores[members]
    lowest.append(members[np.argsort(values, kind='stable')[:num_images]])
    highest.append(members[np.argsort(-values, kind='stable')[:num_images]])
  return lowest, highest


def grid_figure(
  title: str,
  images: np.ndarray,
  rows: list[np.ndarray],
  class_names: list[str],
  num_images: int,
) -> Figure:
  """Images side by side, one row a class.

  Args:
    title: of the figure.
    images: uint8[N, height, width, channels].
    rows: for each class shown, the example indices of its images.
    class_names: of the classes shown.
    num_images: the width of the grid, in images.
  """
  height, width = images.shape[1:3]
  gap = max(1, width // 16)
  canvas = np.full(
    (len(rows) * (height + gap), num_images * (width + gap), 3), 255, np.uint8
  )
  for row, members in enumerate(rows):
    for column, example_index in enumerate(members):
      top, left = row * (height + gap), column * (width + gap)
      image = to_rgb(images[example_index])
      canvas[top : top + height, left : left + width] = image
  figure_width = 0.62 * num_images + 1.4
  figure_height = 0.62 * len(rows) * height / width + 0.6
  figure = Figure(figsize=(figure_width, figure_height), layout='constrained')
  axes = figure.add_subplot()
  axes.imshow(canvas, interpolation='nearest')
  axes.set_title(title)
  axes.set_xticks([])
  centers = [row * (height + gap) + height / 2 for row in range(len(rows))]
  # A dollar sign in a class name must not start mathematics.
  names = [name.replace('$', r'\$') for name in class_names]
  axes.set_yticks(centers, names)
  axes.tick_params(length=0)
  axes.spines[:].set_visible(False)
  return figure


def to_rgb(image: np.ndarray) -> np.ndarray:
  """An image as uint8[height, width, 3].

  Args:
    image: uint8[height, width, channels]; one channel is grey, of other
      numbers the first three are taken, or the first alone.
  """
  if image.shape[-1] < 3:
    return np.repeat(image[..., :1], 3, -1)
  return image[..., :3]
