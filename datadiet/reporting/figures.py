"""The report's PNG figures: the page's own charts, and grids of examples."""

import io

import altair as alt
import numpy as np
import pandas as pd
import vl_convert
from PIL import Image, ImageDraw, ImageFont

from datadiet.reporting import analysis, run_charts

_BINS = 60
_HISTOGRAM_COLUMNS = 3
_SCALE = 2.0  # Pixels of a figure for each of the page's.
_TILE = 72  # Edge in pixels that small images of a grid are enlarged to.
_MARGIN = 12
_TITLE_SIZE, _NAME_SIZE = 20, 16
_MAX_NAME = 240


def result_figures(
  accuracy: list[dict], scores: pd.DataFrame
) -> dict[str, bytes]:
  """The figures that need no images, by file name; those there is data for.

  Args:
    accuracy: `summary["accuracy"]`.
    scores: as `Results.scores`.
  """
  specs = {'accuracy': run_charts.accuracy_chart(accuracy)}
  if specs['accuracy']:
    specs['accuracy'] |= {'width': 560, 'height': 360}
  if names := analysis.score_columns(scores):
    specs['histograms'] = histograms_chart(scores[names])
  return {name: render_png(spec) for name, spec in specs.items() if spec}


def render_png(spec: dict) -> bytes:
  """A Vega-Lite specification as PNG on white; nothing is fetched for it."""
  return vl_convert.vegalite_to_png(
    spec | {'background': 'white', 'padding': 8},
    scale=_SCALE,
    allowed_base_urls=[],
  )


def histograms_chart(scores: pd.DataFrame) -> dict:
  """How scores are distributed over the examples, side by side.

  Args:
    scores: one column a score, one row an example; at least one column. What
      is not finite is left out and counted.
  """
  panels = []
  for name in scores.columns:
    values = scores[name].to_numpy(np.float64)
    finite = values[np.isfinite(values)]
    counts, edges = np.histogram(finite, _BINS)
    left_out = len(values) - len(finite)
    note = f' ({left_out:,} without)' if left_out else ''
    rows = [
      {'low': low, 'high': high, 'examples': count}
      for low, high, count in zip(
        edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True
      )
    ]
    panel = alt.Chart(alt.InlineData(values=rows)).mark_bar(binSpacing=0)
    x = alt.X('low:Q', title=None, axis=alt.Axis(tickCount=5))
    panel = panel.encode(
      x=x.scale(zero=False), x2='high:Q', y=alt.Y('examples:Q')
    )
    panels.append(panel.properties(title=name + note, width=200, height=120))
  chart = alt.concat(*panels, columns=_HISTOGRAM_COLUMNS)
  return chart.resolve_scale(x='independent', y='independent').to_dict()


def extreme_examples(
  scores: np.ndarray, labels: np.ndarray, num_classes: int, num_images: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
  """The examples of each class with the lowest and with the highest scores.

  Args:
    scores: float32[N].
    labels: int32[N].
    num_classes: how many classes there are.
    num_images: at most this many per class.

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
) -> Image.Image:
  """Images side by side, one row a class, its name before it.

  Args:
    title: of the figure.
    images: uint8[N, height, width, channels].
    rows: for each class shown, the example indices of its images.
    class_names: of the classes shown.
    num_images: the width of the grid, in images.
  """
  height, width = images.shape[1:3]
  # Whole multiples, so that all pixels of an image are shown equally large.
  factor = max(1, _TILE // max(height, width))
  height, width = height * factor, width * factor
  gap = max(2, width // 16)
  fonts = [ImageFont.load_default(s) for s in (_TITLE_SIZE, _NAME_SIZE)]
  names = [_shortened(name, fonts[1]) for name in class_names]
  left = 2 * _MARGIN + round(max(map(fonts[1].getlength, names), default=0))
  top = 2 * _MARGIN + _TITLE_SIZE
  grid_width = max(
    num_images * (width + gap), round(fonts[0].getlength(title)) - left
  )
  figure = Image.new(
    'RGB',
    (left + grid_width + _MARGIN, top + len(rows) * (height + gap) + _MARGIN),
    'white',
  )
  draw = ImageDraw.Draw(figure)
  draw.text((_MARGIN, _MARGIN), title, 'black', fonts[0])
  for row, (name, members) in enumerate(zip(names, rows, strict=True)):
    y = top + row * (height + gap)
    middle = (left - _MARGIN, y + height // 2)
    draw.text(middle, name, 'black', fonts[1], anchor='rm')
    for column, example_index in enumerate(members):
      tile = Image.fromarray(to_rgb(np.asarray(images[example_index])))
      tile = tile.resize((width, height), Image.Resampling.NEAREST)
      figure.paste(tile, (left + column * (width + gap), y))
  return figure


def _shortened(
  name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
  """A name in one line that is no wider than `_MAX_NAME`."""
  name = ' '.join(name.split())
  if font.getlength(name) <= _MAX_NAME:
    return name
  while name and font.getlength(f'{name}…') > _MAX_NAME:
    name = name[:-1]
  return f'{name}…'


def encode_png(image: Image.Image) -> bytes:
  """An image as the content of a PNG file."""
  buffer = io.BytesIO()
  image.save(buffer, 'PNG')
  return buffer.getvalue()


def to_rgb(image: np.ndarray) -> np.ndarray:
  """An image as uint8[height, width, 3].

  Args:
    image: uint8[height, width, channels]; one channel is grey, of other
      numbers the first three are taken, or the first alone.
  """
  if image.shape[-1] < 3:
    return np.repeat(image[..., :1], 3, -1)
  return image[..., :3]
