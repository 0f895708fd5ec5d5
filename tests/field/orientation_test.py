"""Pictures lie as a viewer shows them, whatever noted how they lie."""

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from datadiet.data import load_dataset
from datadiet.decoders.images import decode
from tests.data import formats
from tests.data.sources import tfds_test

RNG = np.random.default_rng(1)
# Grey, as JPEG and AVIF keep colours at half the size.
PIXELS = np.repeat(RNG.integers(0, 256, (6, 10, 1), dtype=np.uint8), 3, -1)
# EXIF's orientation -> the picture as it is meant.
MEANT = {
  1: PIXELS,
  2: PIXELS[:, ::-1],
  3: PIXELS[::-1, ::-1],
  4: PIXELS[::-1],
  5: PIXELS.transpose(1, 0, 2),
  6: np.rot90(PIXELS, -1),
  7: np.rot90(PIXELS, 2).transpose(1, 0, 2),
  8: np.rot90(PIXELS),
}
_XMP = (
  '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
  'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
  '<rdf:Description rdf:about="" '
  'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{}"/>'
  '</rdf:RDF></x:xmpmeta>'
)


def _exif(orientation):
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = orientation
  return exif


def _text(key, text):
  info = PngImagePlugin.PngInfo()
  info.add_itxt(key, text)
  return info


def _raw_profile(orientation):
  """As ImageMagick writes EXIF blocks into PNGs."""
  block = _exif(orientation).tobytes()
  return _text('Raw profile type exif', f'\nexif\n{len(block)}\n{block.hex()}')


WAYS = {
  'JPEG EXIF': lambda n: ('JPEG', {'exif': _exif(n), 'quality': 100}),
  'PNG eXIf': lambda n: ('PNG', {'exif': _exif(n)}),
  'PNG raw profile': lambda n: ('PNG', {'pnginfo': _raw_profile(n)}),
  'PNG XMP': lambda n: (
    'PNG',
    {'pnginfo': _text('XML:com.adobe.xmp', _XMP.format(n))},
  ),
  'WebP EXIF': lambda n: ('WEBP', {'exif': _exif(n), 'lossless': True}),
  'WebP XMP': lambda n: (
    'WEBP',
    {'xmp': _XMP.format(n).encode(), 'lossless': True},
  ),
  'JPEG XMP': lambda n: (
    'JPEG',
    {'xmp': _XMP.format(n).encode(), 'quality': 100},
  ),
  'TIFF': lambda n: ('TIFF', {'exif': _exif(n)}),
  'AVIF EXIF': lambda n: ('AVIF', {'exif': _exif(n), 'quality': 100}),
}


def _content(way, orientation, pixels=PIXELS):
  form, options = WAYS[way](orientation)
  return formats.encode(Image.fromarray(pixels), form, **options)


@pytest.mark.parametrize('orientation', list(MEANT))
@pytest.mark.parametrize('way', list(WAYS))
def test_every_way_to_note_an_orientation_is_followed(way, orientation):
  found, notes = decode(_content(way, orientation), 0)
  lossy = way.split()[0] in ('JPEG', 'AVIF')
  assert found.shape == MEANT[orientation].shape
  difference = np.abs(found.astype(int) - MEANT[orientation])
  assert difference.max() <= (12 if lossy else 0)
  assert not notes.has_bad_exif


@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'WEBP'])
@pytest.mark.parametrize(
  'block',
  [
    b'Exif\0\0nonsense',
    b'Exif\0\0II*\0\x08\0\0\0\xff\xff',
    b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01',
    b'Exif\0\0' + _exif(3).tobytes()[6:-4],
  ],
)
def test_a_damaged_exif_block_never_loses_a_good_picture(form, block):
  lossless = {'lossless': True} if form == 'WEBP' else {}
  image = Image.fromarray(PIXELS)
  found, _ = decode(formats.encode(image, form, exif=block, **lossless), 0)
  assert found.shape in (PIXELS.shape, MEANT[6].shape)


def test_orientation_is_the_same_from_a_folder_and_from_parquet(tmp_path):
  pyarrow = pytest.importorskip('pyarrow')
  parquet = pytest.importorskip('pyarrow.parquet')
  contents = [_content(way, 6) for way in WAYS]
  for split in ('train', 'test'):
    for name in 'ab':
      for number, content in enumerate(contents):
        path = tmp_path / f'folder/{split}/{name}/{number:02d}.png'
        formats.write(path, content)
    table = {'image': contents * 2, 'label': [0] * len(WAYS) + [1] * len(WAYS)}
    path = tmp_path / f'parquet/{split}-00000-of-00001.parquet'
    path.parent.mkdir(exist_ok=True)
    parquet.write_table(pyarrow.table(table), path)
  one = load_dataset(formats.settings('image_folder', tmp_path / 'folder'))
  other = load_dataset(formats.settings('hugging_face', tmp_path / 'parquet'))
  assert one.image_shape == (10, 6, 3)
  np.testing.assert_array_equal(one.train.images, other.train.images)


def test_damaged_blocks_are_counted(tmp_path, caplog, monkeypatch):
  caplog.set_level('INFO')

  def refuse(self):
    raise SyntaxError('not a TIFF file')

  monkeypatch.setattr(Image.Image, 'getexif', refuse)
  for folder in ('train/a', 'train/b', 'test/a', 'test/b'):
    formats.write(tmp_path / folder / 'x.webp', _content('WebP EXIF', 6))
  dataset = load_dataset(formats.settings('image_folder', tmp_path))
  np.testing.assert_array_equal(dataset.train.images[0], PIXELS)
  assert '4 images have a damaged EXIF block: taken as they lie' in caplog.text


def _tfds(folder, contents, size):
  labels = np.arange(len(contents)) % 3
  tfds_test.write_set(
    folder / 'tiny/1.0.0',
    {'train': (contents, labels), 'test': (contents, labels)},
    size=size,
  )
  return load_dataset(formats.settings('tiny', folder))


@pytest.mark.parametrize('size', [6, None])
def test_orientation_is_followed_in_sets_of_tensorflow(tmp_path, size):
  """Decoded by TensorFlow, and as photographs of differing sizes."""
  ways = ('JPEG EXIF', 'JPEG XMP', 'PNG eXIf', 'PNG raw profile', 'PNG XMP')
  square = PIXELS[:, :6]
  contents = [_content(way, n, square) for way in ways for n in (1, 6, 3, 7)]
  plain = [
    _content(way, 1, square)
    for way in ('JPEG EXIF', 'JPEG EXIF', *['PNG XMP'] * 3)
  ]
  images = _tfds(tmp_path, contents, size).train.images
  upright = _tfds(tmp_path / 'plain', plain, size).train.images
  for i, image in enumerate(upright):
    np.testing.assert_array_equal(images[4 * i], image)
    np.testing.assert_array_equal(images[4 * i + 1], np.rot90(image, -1))
    np.testing.assert_array_equal(images[4 * i + 2], np.rot90(image, 2))
    turned = np.rot90(image, 2).transpose(1, 0, 2)
    np.testing.assert_array_equal(images[4 * i + 3], turned)
