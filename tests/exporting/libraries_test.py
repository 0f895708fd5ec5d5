"""Tests of what datasets, pyarrow and TensorBoard read, by these libraries."""

import io
import json
import logging
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datadiet.data import load_dataset
from datadiet.data.label_files import read_labels
from datadiet.errors import DataDietError
from datadiet.exporting import export_selection, tensorboard
from tests.data import formats
from tests.exporting import conftest
from tests.results import synthetic


def _export(subset, name, output, **options):
  root = subset.results.workdir.root
  return export_selection(root, 'some', name, output, **options)


@pytest.mark.parametrize('source', ['cifar', 'digits'])
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_hugging_face(source, request, tmp_path):
  datasets = pytest.importorskip('datasets')
  subset = request.getfixturevalue(source)
  output = _export(subset, 'hugging_face', tmp_path / 'out')
  loaded = datasets.load_from_disk(str(output))
  train, data = loaded['train'], subset.dataset
  expected = data.train.images[subset.example_index]
  found = [np.asarray(image) for image in train['image']]
  np.testing.assert_array_equal(np.reshape(found, expected.shape), expected)
  labels = data.train.labels[subset.example_index]
  assert list(train['label']) == labels.tolist()
  assert train.features['label'].names == list(data.class_names)
  assert list(train['id']) == subset.ids
  assert list(train['example_index']) == subset.example_index.tolist()
  found = [np.asarray(image) for image in loaded['test']['image']]
  np.testing.assert_array_equal(
    np.reshape(found, data.test.images.shape), data.test.images
  )
  # Nothing is left beside it, and nothing in it points elsewhere.
  assert not list(tmp_path.glob('.*'))
  moved = output.rename(tmp_path / 'moved')
  again = datasets.load_from_disk(str(moved))['train']
  assert np.array_equal(np.asarray(again[0]['image']), train_first(expected))


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_hugging_face_keeps_the_files_of_a_folder(folder, tmp_path, caplog):
  datasets = pytest.importorskip('datasets')
  with caplog.at_level(logging.INFO, 'absl'):
    output = _export(folder, 'hugging_face', tmp_path / 'out')
  # Nobody is asked to publish what may be private.
  assert 'push' not in caplog.text
  loaded = datasets.load_from_disk(str(output))
  for name, split in (('train', None), ('test', folder.dataset.test)):
    part = loaded[name].cast_column('image', datasets.Image(decode=False))
    ids = folder.ids if split is None else split.ids.tolist()
    assert list(part['id']) == ids
    for row in part:
      original = tmp_path / 'photos' / row['id']
      assert row['image']['bytes'] == original.read_bytes()
  found = np.stack([np.asarray(image) for image in loaded['train']['image']])
  expected = folder.dataset.train.images[folder.example_index]
  np.testing.assert_array_equal(found, expected)


def train_first(expected):
  image = expected[0]
  return image[..., 0] if image.shape[-1] == 1 else image


def test_hugging_face_is_read_by_this_project(cifar, tmp_path):
  pytest.importorskip('datasets')
  output = _export(cifar, 'hugging_face', tmp_path / 'out')
  again = load_dataset(formats.settings('hugging_face', output))
  assert again.train.ids.tolist() == cifar.ids
  np.testing.assert_array_equal(
    again.train.images, cifar.dataset.train.images[cifar.example_index]
  )
  assert again.class_names == cifar.dataset.class_names


def test_parquet(cifar, tmp_path):
  parquet = pytest.importorskip('pyarrow.parquet')
  synthetic.write_audit(cifar.results.workdir, cifar.dataset)
  output = _export(cifar, 'parquet', tmp_path / 'scores.parquet')
  table = pd.read_parquet(output)
  scores = cifar.results.scores
  assert table['example_index'].tolist() == list(range(20))
  assert table['id'].tolist() == cifar.dataset.train.ids.tolist()
  subset = table.loc[table['kept'], 'example_index']
  assert subset.tolist() == cifar.example_index.tolist()
  for name in synthetic.HIGHER_IS:
    np.testing.assert_array_equal(table[name], scores[name])
    assert table[name].dtype == np.float32
  names = np.array(cifar.dataset.class_names)
  assert table['label_name'].tolist() == names[table['label']].tolist()
  assert {'suspicion', 'is_issue', 'suggested_label'} <= set(table)
  suggested = table.dropna(subset='suggested_label')
  assert len(suggested)
  expected = names[suggested['suggested_label'].astype(int)].tolist()
  assert suggested['suggested_label_name'].tolist() == expected
  found = read_labels(str(output), cifar.dataset)
  assert found.tolist() == cifar.dataset.train.labels.tolist()
  metadata = parquet.read_schema(output).metadata
  assert metadata[b'selection'] == b'some'
  test_ids = cifar.dataset.test.ids.tolist()
  assert json.loads(metadata[b'test_ids']) == test_ids
  assert metadata[b'fingerprint'].decode() == cifar.dataset.fingerprint


def test_parquet_of_suspects_without_suggestions(cifar, tmp_path):
  pytest.importorskip('pyarrow')
  workdir = cifar.results.workdir
  synthetic.write_audit(workdir, cifar.dataset)
  path = workdir.root / 'audit' / 'label_issues.csv'
  audit = pd.read_csv(path, dtype=str)
  audit['suggested_label'] = ''
  path.write_text(audit.to_csv(index=False))
  output = _export(cifar, 'parquet', tmp_path / 'scores.parquet')
  assert pd.read_parquet(output)['suggested_label'].isna().all()


def test_parquet_needs_a_scored_step(cifar, tmp_path):
  pytest.importorskip('pyarrow')
  with pytest.raises(DataDietError, match='step 7 was not scored'):
    _export(cifar, 'parquet', tmp_path / 'out', step=7)
  _export(cifar, 'parquet', tmp_path / 'out', step=conftest.STEP)


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_tensorboard(cifar, tmp_path, monkeypatch):
  pytest.importorskip('clu.metric_writers')
  from tensorboard.backend.event_processing import event_accumulator

  monkeypatch.setattr(tensorboard, 'MAX_IMAGES_A_CLASS', 1)
  output = _export(cifar, 'tensorboard', tmp_path / 'out')
  # Images of tf.summary are tensors: width, height, and a PNG for each.
  reader = event_accumulator.EventAccumulator(
    str(output), size_guidance={event_accumulator.TENSORS: 0}
  )
  reader.Reload()
  labels = cifar.dataset.train.labels[cifar.example_index]
  names = cifar.dataset.class_names
  expected = {f'some/{names[label]}' for label in labels}
  assert set(reader.Tags()['tensors']) == expected
  for label in np.unique(labels):
    (event,) = reader.Tensors(f'some/{names[label]}')
    assert event.step == conftest.STEP
    encoded = event.tensor_proto.string_val[2:]
    found = [np.asarray(Image.open(io.BytesIO(png))) for png in encoded]
    members = cifar.example_index[labels == label][:1]
    np.testing.assert_array_equal(found, cifar.dataset.train.images[members])


@pytest.mark.parametrize(
  ('name', 'library', 'install'),
  [
    ('hugging_face', 'datasets', r'datadiet\[export\]'),
    ('parquet', 'pyarrow', r'datadiet\[export\]'),
    ('tensorboard', 'clu.metric_writers', r'datadiet\[tfds\]'),
  ],
)
def test_a_library_that_is_missing_is_named(
  cifar, tmp_path, monkeypatch, name, library, install
):
  monkeypatch.setitem(sys.modules, library, None)
  with pytest.raises(DataDietError, match=install):
    _export(cifar, name, tmp_path / 'out')
  assert not list(tmp_path.glob('*out*'))
