"""Mutated pictures: their pixels are what numpy makes of the same values."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datadiet.data import load_dataset
from tests.data import formats
from tests.field import mutations

_SIZES = ((1, 1), (1, 7), (2, 3), (5, 5), (9, 4), (33, 2), (16, 16))
_BACKGROUNDS = {'white': 255, 'black': 0, '#08f0A0': (8, 240, 160)}
# How numpy turns an array upright, by EXIF's number.
_TURNS = {
  1: lambda a: a,
  2: lambda a: a[:, ::-1],
  3: lambda a: a[::-1, ::-1],
  4: lambda a: a[::-1],
  5: lambda a: a.transpose(1, 0, 2),
  6: lambda a: np.rot90(a, -1),
  7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
  8: lambda a: np.rot90(a),
}
_FORMATS = {
  '1': ('png', 'tif', 'bmp', 'pbm'),
  'L': ('png', 'tif', 'bmp', 'pgm', 'webp'),
  'LA': ('png', 'tif', 'webp'),
  'P': ('png', 'tif', 'bmp', 'gif'),
  'PA': ('png', 'gif'),
  'RGB': ('png', 'tif', 'bmp', 'ppm', 'webp'),
  'RGBA': ('png', 'tif', 'webp'),
  'CMYK': ('tif',),
  'I;16': ('png', 'tif', 'pgm'),
  'F': ('tif',),
  'I': ('tif',),
}
_FORMS = {'tif': 'TIFF', 'pgm': 'PPM', 'pbm': 'PPM'}


@st.composite
def pictures(draw, mode, size):
  """A file of a picture, and what is seen of it: rgb and alpha, or a depth."""
  ending = draw(st.sampled_from(_FORMATS[mode]))
  orientation = draw(st.integers(0, 9)) if ending in ('png', 'webp') else 1
  rng = np.random.default_rng(draw(st.integers(0, 99)))
  shape = size[::-1]
  maximum = draw(st.sampled_from((1, 255, 256, 1023, 5000, 16_384, 65_535)))
  values = rng.integers(0, 256, (*shape, 4), np.uint8)
  alpha = draw(st.sampled_from([values[..., 3], np.uint8(0), np.uint8(255)]))
  alpha = np.broadcast_to(alpha, shape)
  options = {}
  if mode == '1':
    bits = values[..., 0] > 127
    image, seen = Image.fromarray(bits), 255 * bits[..., None].repeat(3, -1)
  elif mode in ('L', 'LA'):
    image = Image.fromarray(values[..., 0])
    seen = values[..., :1].repeat(3, -1)
    if mode == 'LA':
      image.putalpha(Image.fromarray(alpha))
  elif mode in ('P', 'PA'):
    palette = rng.integers(0, 256, (16, 3), np.uint8)
    places = values[..., 0] % 16
    image = Image.fromarray(places)
    image.putpalette(palette.tobytes())
    seen = palette[places]
    if mode == 'PA':
      options['transparency'] = int(places[0, 0])
      alpha = np.where(places == places[0, 0], 0, 255)
  elif mode in ('RGB', 'RGBA'):
    seen = values[..., :3]
    whole = np.dstack([seen, alpha]) if mode == 'RGBA' else seen
    image = Image.fromarray(whole)
  elif mode == 'CMYK':
    image = Image.fromarray(values, 'CMYK')
    seen = np.asarray(image.convert('RGB'))
  else:
    dtype = {'I;16': np.uint16, 'F': np.float32, 'I': np.int32}[mode]
    deep = rng.integers(0, maximum + 1, shape)
    image, seen = Image.fromarray(deep.astype(dtype)), deep
  if orientation != 1:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options['exif'] = exif
  if ending == 'webp':
    options |= {'lossless': True, 'exact': True}
  content = formats.encode(image, _FORMS.get(ending, ending.upper()), **options)
  if mode == 'I;16' and ending == 'pgm':
    content = b'P5\n%d %d\n65535\n' % size + seen.astype('>u2').tobytes()
  has_alpha = mode in ('LA', 'PA', 'RGBA')
  return {
    'mode': mode,
    'ending': ending,
    'content': content,
    'seen': np.asarray(seen),
    'alpha': alpha if has_alpha else np.broadcast_to(255, shape),
    'turn': _TURNS.get(orientation, _TURNS[1]),
  }


@st.composite
def sets(draw):
  """Some pictures, mostly of one size, and how to read them."""
  size = draw(st.sampled_from(_SIZES))
  modes = draw(
    st.lists(st.sampled_from(list(_FORMATS)), min_size=1, max_size=4)
  )
  other = draw(st.sampled_from([size, size, size, *_SIZES]))
  chosen = [draw(pictures(mode, size)) for mode in modes]
  chosen.append(draw(pictures(draw(st.sampled_from(['RGB', 'L'])), other)))
  image_size = draw(st.sampled_from([0, 0, 0, 1, 8]))
  return chosen, image_size, draw(st.sampled_from(list(_BACKGROUNDS)))


def _expected(picture, background, white):
  seen, alpha = picture['seen'].astype(float), picture['alpha'][..., None] / 255
  if seen.ndim == 2:
    seen = np.floor(seen * 256 / (white + 1))[..., None].repeat(3, -1)
  mixed = alpha * seen + (1 - alpha) * _BACKGROUNDS[background]
  return picture['turn'](mixed)


def _oracle(chosen, image_size, background):
  """The pixels of each picture; None where the set has to be refused."""
  if any(picture['mode'] in ('F', 'I') for picture in chosen):
    return None
  deep = [
    picture['seen'].max() for picture in chosen if picture['seen'].ndim == 2
  ]
  white = 255
  if deep:
    depths = (8, 10, 12, 14, 16)
    white = next(2**bits - 1 for bits in depths if max(deep) < 2**bits)
  expected = [_expected(picture, background, white) for picture in chosen]
  if not image_size and len({image.shape for image in expected}) > 1:
    return None
  return expected


@given(sets())
@mutations.inputs(0.25)
def test_pixels_are_what_is_seen(made):
  chosen, image_size, background = made
  expected = _oracle(*made)
  with mutations.folder() as root:
    for number, picture in enumerate(chosen):
      for folder in ('train/a', 'train/b', 'test/a', 'test/b'):
        name = f'{number}.{picture["ending"]}'
        formats.write(root / folder / name, picture['content'])
    settings = formats.settings(
      'image_folder', root, image_size=image_size, background=background
    )
    dataset = mutations.read_or_refused('pictures', load_dataset, settings)
  if expected is None:
    assert dataset is None
    return
  values = np.concatenate([image.reshape(-1, 3) for image in expected])
  is_empty = (values == values[0]).all() or values.max() <= 1
  if dataset is None:
    # One colour is refused, and resized pictures may come to that.
    assert is_empty or image_size
    return
  assert not is_empty
  for name, found in zip(dataset.train.ids, dataset.train.images):
    right = expected[int(str(name).split('/')[-1].split('.')[0])]
    if image_size:
      size = (image_size, image_size)
      whole = Image.fromarray(right.round().astype(np.uint8))
      right = np.asarray(whole.resize(size, Image.Resampling.BILINEAR), int)
    np.testing.assert_allclose(found, right, atol=2)
