"""Pictures as people have them: what the network sees is what one sees."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from datadiet.data import decoding, load_dataset
from datadiet.data.dataset import Split, make_dataset
from datadiet.decoders.images import decode
from datadiet.errors import DataDietError
from tests.data import formats
from tests.data.sources import tfds_test

RNG = np.random.default_rng(0)
# Colours that PNG optimisers leave where nothing is seen.
HIDDEN = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
ALPHA = np.repeat(np.array([0, 255, 128, 1], np.uint8), 16).reshape(8, 8)


def _load(root, contents, **changes):
  """A data set of files, each in every class and split."""
  for name, content in contents.items():
    for folder in ('train/a', 'train/b', 'test/a', 'test/b'):
      formats.write(root / folder / name, content)
  return load_dataset(formats.settings('image_folder', root, **changes))


def _decoded(content, **options):
  return decode(content, 0, **options)[0].astype(int)


def _transparent_images():
  rgba = Image.fromarray(np.dstack([HIDDEN, ALPHA]))
  grey = Image.fromarray(HIDDEN[..., 0])
  la = Image.merge('LA', (grey, Image.fromarray(ALPHA)))
  palette = Image.fromarray(HIDDEN).quantize(4)
  colour_key = Image.fromarray(HIDDEN).quantize(4).convert('RGB')
  levels = Image.fromarray(HIDDEN[..., 0] // 64)
  return {
    'RGBA PNG': (formats.encode(rgba), rgba),
    'RGBA TIFF': (formats.encode(rgba, 'TIFF'), rgba),
    'RGBA WebP': (
      formats.encode(rgba, 'WEBP', lossless=True, exact=True),
      rgba,
    ),
    'LA PNG': (formats.encode(la), la.convert('RGBA')),
    'palette with one': (
      formats.encode(palette, transparency=2),
      _with_alpha(palette.convert('RGB'), np.asarray(palette) == 2),
    ),
    'palette with levels': (
      formats.encode(palette, transparency=bytes([0, 100, 255, 255])),
      _with_levels(palette, [0, 100, 255, 255]),
    ),
    'colour key': (
      formats.encode(colour_key, transparency=colour_key.getpixel((3, 3))),
      _with_alpha(
        colour_key,
        (np.asarray(colour_key) == colour_key.getpixel((3, 3))).all(-1),
      ),
    ),
    'grey key': (
      formats.encode(levels, transparency=1),
      _with_alpha(levels.convert('RGB'), np.asarray(levels) == 1),
    ),
    'GIF': (
      formats.encode(palette, 'GIF', transparency=1),
      _with_alpha(palette.convert('RGB'), np.asarray(palette) == 1),
    ),
  }


def _with_alpha(image, is_hidden):
  alpha = np.where(is_hidden, 0, 255).astype(np.uint8)
  return Image.fromarray(np.dstack([np.asarray(image), alpha]))


def _with_levels(palette, levels):
  alpha = np.array(levels, np.uint8)[np.asarray(palette)]
  return Image.fromarray(np.dstack([np.asarray(palette.convert('RGB')), alpha]))


BACKGROUNDS = {'white': 255, 'black': 0, '#102030': (16, 32, 48)}


@pytest.mark.parametrize('background', list(BACKGROUNDS))
@pytest.mark.parametrize('kind', list(_transparent_images()))
def test_transparent_images_are_laid_on_a_background(kind, background):
  content, rgba = _transparent_images()[kind]
  colours = np.asarray(rgba).astype(float)
  alpha = colours[..., 3:] / 255
  expected = alpha * colours[..., :3] + (1 - alpha) * BACKGROUNDS[background]
  found = _decoded(content, background=background)
  np.testing.assert_allclose(found, expected, atol=1)
  # Where nothing is seen the background is exact.
  hidden = np.broadcast_to(BACKGROUNDS[background], found.shape)
  np.testing.assert_array_equal(
    found[alpha[..., 0] == 0], hidden[alpha[..., 0] == 0]
  )


def test_hidden_colours_do_not_shine_through_when_resized(tmp_path, caplog):
  caplog.set_level('INFO')
  rgba = np.dstack([HIDDEN, np.zeros((8, 8), np.uint8)])
  rgba[:4] = (10, 20, 30, 255)
  opaque = np.dstack([HIDDEN, np.full((8, 8), 255, np.uint8)])
  contents = {'a.png': formats.encode(rgba), 'b.png': formats.encode(opaque)}
  dataset = _load(tmp_path, contents, image_size=4)
  assert (dataset.train.images[0][3] == 255).all()
  # b.png has an alpha channel without effect.
  assert '4 images are transparent: laid on white' in caplog.text
  dark = _load(tmp_path, {}, image_size=4, background='black')
  assert (dark.train.images[0][3] == 0).all()
  np.testing.assert_array_equal(dark.train.images[1], dataset.train.images[1])


@pytest.mark.parametrize('mode', ['RGB', 'L', '1', 'P', 'CMYK', 'YCbCr'])
@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'TIFF', 'BMP'])
def test_opaque_images_are_what_pillow_makes_of_them(mode, form):
  image = Image.fromarray(HIDDEN).convert(mode)
  try:
    content = formats.encode(image, form)
  except OSError:
    pytest.skip(f'{form} holds no {mode}')
  expected = Image.open(io.BytesIO(content)).convert('RGB')
  np.testing.assert_array_equal(_decoded(content), np.asarray(expected))


def _deep(maximum, form='PNG'):
  values = np.linspace(0, maximum, 64).astype(np.uint16).reshape(8, 8)
  if form == 'PGM':
    return b'P5\n8 8\n65535\n' + values.astype('>u2').tobytes(), values
  return formats.encode(Image.fromarray(values), form), values


@pytest.mark.parametrize('form', ['PNG', 'TIFF', 'PGM'])
@pytest.mark.parametrize(
  'maximum, white',
  [
    (255, 255),
    (900, 1023),
    (1023, 1023),
    (4095, 4095),
    (10_000, 16_383),
    (65_535, 65_535),
  ],
)
def test_greys_of_16_bits_are_scaled_by_what_the_set_holds(
  tmp_path, caplog, maximum, white, form
):
  caplog.set_level('INFO')
  content, values = _deep(maximum, form)
  dataset = _load(tmp_path, {f'x.{form.lower()}': content})
  found = dataset.train.images[0]
  np.testing.assert_allclose(found[..., 0], values * (255 / white), atol=1)
  assert (found == found[..., :1]).all()
  assert f'values up to {maximum}: white is {white}' in caplog.text


@pytest.mark.parametrize('num_cores', [1, 2])
def test_dark_images_keep_the_scale_of_the_others(
  tmp_path, monkeypatch, num_cores
):
  monkeypatch.setattr(decoding, 'num_cores', lambda: num_cores)
  monkeypatch.setattr(decoding, '_IMAGES_A_WORKER', 4)
  contents = {f'{maximum}.png': _deep(maximum)[0] for maximum in (200, 4000)}
  contents |= {'eight.png': formats.encode(HIDDEN)}
  dataset = _load(tmp_path, contents)
  by_name = dict(zip(dataset.train.ids.tolist(), dataset.train.images))
  for maximum in (200, 4000):
    values = _deep(maximum)[1]
    found = by_name[f'train/a/{maximum}.png'][..., 0]
    np.testing.assert_array_equal(found, values >> 4)
  # Images of 8 bits have a scale of their own.
  np.testing.assert_array_equal(by_name['train/b/eight.png'], HIDDEN)


@pytest.mark.parametrize(('num_dark', 'brightest'), [(2, 65_535), (5, 4000)])
def test_a_few_bright_images_do_not_leave_the_others_black(
  tmp_path, num_dark, brightest
):
  dark = 4000 if brightest > 4000 else 200
  contents = {f'{i}.png': _deep(dark)[0] for i in range(num_dark)}
  contents['bright.png'] = _deep(brightest)[0]
  told = f'use less than a sixteenth.* values up to {brightest}, so that they'
  with pytest.raises(DataDietError, match=told):
    _load(tmp_path, contents)


def test_greys_of_16_bits_that_count_from_white_are_refused(tmp_path):
  buffer = io.BytesIO()
  values = RNG.integers(0, 2**16, (8, 8)).astype(np.uint16)
  Image.fromarray(values).save(buffer, 'TIFF', tiffinfo={262: 0})
  with pytest.raises(DataDietError, match='of which 0 is white; save it so'):
    _load(tmp_path, {'x.tiff': buffer.getvalue()})


def _png_of_16_bits(values):
  """Which Pillow reads and does not write."""
  buffer = io.BytesIO()
  height, width, channels = values.shape
  write = PngImagePlugin.putchunk
  buffer.write(b'\x89PNG\r\n\x1a\n')
  kind = {2: 4, 3: 2, 4: 6}[channels]
  size = width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
  write(buffer, b'IHDR', size, bytes([16, kind, 0, 0, 0]))
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
  write(buffer, b'IDAT', PngImagePlugin.zlib.compress(rows))
  write(buffer, b'IEND', b'')
  return buffer.getvalue()


@pytest.mark.parametrize('channels', [2, 3, 4])
@pytest.mark.parametrize('maximum', [255, 4095, 16_383])
def test_colours_of_which_pillow_keeps_nothing_are_refused(
  tmp_path, channels, maximum
):
  values = RNG.integers(0, maximum + 1, (8, 8, channels))
  values[0, 0] = maximum
  content = _png_of_16_bits(values)
  with pytest.raises(DataDietError, match='colour images of 16 bits.* of 256'):
    _load(tmp_path, {'x.png': content})


def test_colours_of_16_bits_are_read(tmp_path):
  values = RNG.integers(0, 2**16, (8, 8, 3))
  dataset = _load(tmp_path, {'x.png': _png_of_16_bits(values)})
  np.testing.assert_array_equal(dataset.train.images[0], values >> 8)


@pytest.mark.parametrize('dtype', [np.int32, np.float32])
def test_pixels_of_unknown_range_are_refused(tmp_path, dtype):
  image = Image.fromarray(np.full((8, 8), 0.5, dtype))
  with pytest.raises(DataDietError, match='32-bit .* allowed: up to 16 bits'):
    _load(tmp_path, {'x.tif': formats.encode(image, 'TIFF')})


def test_the_first_of_several_frames_is_taken(tmp_path, caplog):
  caplog.set_level('INFO')
  frames = [Image.fromarray(np.roll(HIDDEN, i, 0)) for i in range(3)]
  options = {'save_all': True, 'append_images': frames[1:]}
  contents = {
    'a.webp': formats.encode(frames[0], 'WEBP', lossless=True, **options),
    'b.png': formats.encode(frames[0], 'PNG', **options),
    'c.tif': formats.encode(frames[0], 'TIFF', **options),
    'd.tif': formats.encode(frames[0], 'TIFF'),
  }
  dataset = _load(tmp_path, contents)
  for image in dataset.train.images:
    np.testing.assert_array_equal(image, HIDDEN)
  assert 'frames or pages: the first is taken' in caplog.text


@pytest.mark.parametrize(
  'name, form, options',
  [
    ('x.ppm', 'PPM', {}),
    ('x.pgm', 'PPM', {}),
    ('x.pbm', 'PPM', {}),
    ('x.jfif', 'JPEG', {}),
    ('x.avif', 'AVIF', {}),
    ('x.jp2', 'JPEG2000', {'irreversible': False}),
    ('X.TIF', 'TIFF', {}),
    ('x.GIF', 'GIF', {}),
  ],
)
def test_formats_that_pillow_reads_are_read(tmp_path, name, form, options):
  mode = {'x.pgm': 'L', 'x.pbm': '1'}.get(name, 'RGB')
  image = Image.fromarray(HIDDEN).convert(mode)
  content = formats.encode(image, form, **options)
  dataset = _load(tmp_path, {name: content})
  expected = Image.open(io.BytesIO(content)).convert('RGB')
  np.testing.assert_array_equal(dataset.train.images[0], np.asarray(expected))


def test_a_picture_too_large_for_pillow_says_what_to_do(tmp_path, monkeypatch):
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 30)
  content = formats.encode(HIDDEN)
  with pytest.raises(
    DataDietError, match='more than 60 pixels.* save it small'
  ):
    _load(tmp_path, {'x.png': content})
  # Up to twice the limit Pillow warns alone.
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 40)
  assert _load(tmp_path, {}).image_shape == (8, 8, 3)


def _made(images, **kwargs):
  num = len(images)
  split = Split(
    images.astype(np.uint8),
    (np.arange(num) % 2).astype(np.int32),
    np.array([f'i{n}' for n in range(num)]),
  )
  return make_dataset('set', split, split, ('a', 'b'), source='here', **kwargs)


STATISTICS = {'mean': np.full(3, 0.5), 'std': np.full(3, 0.2)}


@pytest.mark.parametrize('statistics', [{}, STATISTICS])
@pytest.mark.parametrize(
  'images, message',
  [
    (np.zeros((6, 20, 20, 3)), 'all pixels of all 6 images are the same'),
    (np.full((6, 20, 20, 3), (1, 7, 3)), r'are the same, \[1, 7, 3\]'),
    (RNG.integers(0, 2, (6, 20, 20, 3)), 'no pixel is above 1 of 255'),
  ],
)
def test_sets_without_content_are_refused(images, message, statistics):
  """Also where mean and deviation are given and not measured."""
  with pytest.raises(DataDietError, match=f'here, train: .*{message}'):
    _made(images, **statistics)


def test_a_channel_that_never_changes_is_told_of(caplog):
  images = RNG.integers(0, 256, (6, 20, 20, 3))
  images[..., 1] = 9
  assert _made(images).std[1] == 1
  assert 'here, train: channel 1 of 3 is the same everywhere' in caplog.text


def test_pictures_of_one_colour_are_told_of(caplog):
  images = RNG.integers(0, 256, (30, 20, 20, 3))
  _made(images)
  assert not caplog.text
  images[[3, 7]] = (1, 2, 3)
  images[8], images[9] = 5, 5
  images[9, 19, 19, 2] = 6  # One value differs.
  _made(images)
  assert '3 of 30 images are of one colour alone: i3, i7, i8' in caplog.text


@pytest.mark.parametrize(
  'labels, names, message',
  [
    (np.zeros(6), ('a',), "has 1 class: 'a'; two or more"),
    (np.zeros(6), ('a', 'b'), "all 6 examples are of the class 'a'"),
    (np.arange(6) % 2, ('a', 'a '), "two classes that read 'a'"),
  ],
)
def test_fewer_than_two_classes_are_refused(labels, names, message):
  split = Split(
    RNG.integers(0, 256, (6, 8, 8, 1), dtype=np.uint8),
    labels.astype(np.int32),
    np.array([f'i{n}' for n in range(6)]),
  )
  with pytest.raises(DataDietError, match=f'here.*{message}'):
    make_dataset('set', split, split, names, source='here')


def test_transparent_sets_of_tensorflow_are_laid_on_a_background(tmp_path):
  rgba = formats.random_images(6, 8, channels=4)
  rgba[:, :4, :, 3] = 0
  content = (rgba, np.arange(6) % 3)
  tfds_test.write_set(
    tmp_path / 'tiny/1.0.0', {'train': content, 'test': content}, channels=4
  )
  for background, value in BACKGROUNDS.items():
    dataset = load_dataset(
      formats.settings('tiny', tmp_path, background=background)
    )
    assert dataset.image_shape == (8, 8, 3)
    expected = np.broadcast_to(value, (6, 4, 8, 3))
    np.testing.assert_array_equal(dataset.train.images[:, :4], expected)
    alpha = rgba[..., 3:] / 255
    mixed = alpha * rgba[..., :3] + (1 - alpha) * value
    np.testing.assert_allclose(dataset.train.images, mixed, atol=1)


@pytest.mark.parametrize('dtype', ['uint16', 'float32'])
def test_other_types_of_tensorflow_are_refused(tmp_path, dtype):
  content = (formats.random_images(6, 8), np.arange(6) % 3)
  tfds_test.write_set(
    tmp_path / 'tiny/1.0.0',
    {'train': content, 'test': content},
    channels=1,
    dtype=dtype,
  )
  message = f'tiny: its images are {dtype}.*allowed: uint8'
  with pytest.raises(DataDietError, match=message):
    load_dataset(formats.settings('tiny', tmp_path))
