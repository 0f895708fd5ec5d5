"""Tests of what pycocotools, FiftyOne and Datalab read, by these libraries."""

import json
import runpy

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datadiet.data import load_dataset
from datadiet.errors import ConfigError, DataDietError
from datadiet.exporting import datalab, export_selection, findings
from datadiet.results.inspection import Inspection
from datadiet.workdir import artifacts, top_probs
from tests.exporting import conftest
from tests.results import synthetic


def _export(subset, name, output, **options):
  root = subset.results.workdir.root
  return export_selection(root, subset.name, name, output, **options)


@pytest.fixture(params=['cifar', 'folder', 'digits'])
def audited(request):
  """Some of each kind of data, with an audit."""
  subset = request.getfixturevalue(request.param)
  synthetic.write_audit(subset.results.workdir, subset.dataset)
  return subset


def _check_facts(facts, subset, i):
  """That a row of attributes is what the workdir has on an example."""
  scores, issues = subset.results.scores, subset.results.label_issues
  assert facts['example_index'] == i
  assert facts['id'] == subset.dataset.train.ids[i]
  assert facts['el2n'] == pytest.approx(scores['el2n'][i], rel=1e-6)
  assert facts['suspicion'] == pytest.approx(issues['suspicion'][i], rel=1e-6)
  probability = issues['probability'][i]
  assert facts['probability'] == pytest.approx(probability, rel=1e-6)
  assert facts['is_issue'] is bool(issues['is_issue'][i])


def test_coco(audited, tmp_path):
  output = _export(audited, 'coco', tmp_path / 'out')
  content = json.loads((output / 'annotations.json').read_text())
  train = audited.dataset.train
  names = [category['name'] for category in content['categories']]
  assert names == list(audited.dataset.class_names)
  assert len(content['images']) == len(audited.example_index)
  for image, annotation, i in zip(
    content['images'],
    content['annotations'],
    audited.example_index.tolist(),
    strict=True,
  ):
    assert annotation['image_id'] == image['id'] == i + 1
    assert names[annotation['category_id'] - 1] == names[train.labels[i]]
    _check_facts(annotation['attributes'], audited, i)
    facts = annotation['attributes']
    assert annotation['score'] == pytest.approx(1 - facts['probability'])
    with Image.open(output / 'images' / image['file_name']) as opened:
      assert opened.size == (image['width'], image['height'])
      pixels = np.asarray(opened)
    if audited.originals is None:
      np.testing.assert_array_equal(
        pixels.reshape(train.images[i].shape), train.images[i]
      )


def test_pycocotools_opens_it(audited, tmp_path):
  coco = pytest.importorskip('pycocotools.coco')
  output = _export(audited, 'coco', tmp_path / 'out')
  opened = coco.COCO(str(output / 'annotations.json'))
  labels = audited.dataset.train.labels[audited.example_index]
  for label, name in enumerate(audited.dataset.class_names):
    (category,) = opened.getCatIds(catNms=[name]) or [None]
    members = opened.getImgIds(catIds=[category])
    assert len(members) == (labels == label).sum()
  (annotation,) = opened.loadAnns(opened.getAnnIds(imgIds=members[0]))
  _check_facts(annotation['attributes'], audited, members[0] - 1)


def test_fiftyone_as_documented(audited, tmp_path):
  output = _export(audited, 'fiftyone', tmp_path / 'out')
  content = json.loads((output / 'labels.json').read_text())
  assert content['classes'] == list(audited.dataset.class_names)
  files = {path.stem: path for path in (output / 'data').iterdir()}
  assert set(files) == set(content['labels'])
  for i in audited.example_index.tolist():
    (name,) = (name for name in files if int(name) == i)
    entry = content['labels'][name]
    assert entry['label'] == audited.dataset.train.labels[i]
    facts = entry['attributes']
    _check_facts(facts | {'id': facts['datadiet_id']}, audited, i)
    assert 0 <= entry['confidence'] <= 1


def test_fiftyone_reads_it(audited, tmp_path):
  """By its own reader of the format, which needs no database."""
  data = pytest.importorskip('fiftyone.utils.data')
  output = _export(audited, 'fiftyone', tmp_path / 'out')
  reader = data.FiftyOneImageClassificationDatasetImporter(str(output))
  with reader:
    read = {path: label for path, _, label in reader}
    assert reader.get_dataset_info()['classes'] == [
      *audited.dataset.class_names
    ]
  assert len(read) == len(audited.example_index)
  names = audited.dataset.class_names
  for i, path in zip(audited.example_index, sorted(read), strict=True):
    assert read[path].label == names[audited.dataset.train.labels[i]]
    assert read[path].confidence is not None
    assert read[path]['suspicion'] is not None
    assert read[path]['datadiet_id'] == audited.dataset.train.ids[i]


def test_links_to_the_originals(folder, tmp_path):
  for name, below in (('coco', 'images'), ('fiftyone', 'data')):
    output = _export(folder, name, tmp_path / name, link=True)
    links = sorted((output / below).iterdir())
    found = [
      str(link.readlink().relative_to(folder.originals)) for link in links
    ]
    assert found == folder.ids


def test_links_need_files(digits, tmp_path):
  with pytest.raises(DataDietError, match='digits is none: leave out --link'):
    _export(digits, 'coco', tmp_path / 'out', link=True)
  with pytest.raises(ConfigError, match='image_folder, coco, fiftyone; not'):
    _export(digits, 'datalab', tmp_path / 'out', link=True)


def _with_predictions(subset):
  """Gives a workdir predictions, and returns them."""
  rng = np.random.default_rng(0)
  num, labels = subset.results.num_examples, subset.dataset.train.labels
  probs = rng.dirichlet(np.ones(subset.dataset.num_classes), num)
  probs[np.arange(num), labels] += 2
  probs = (probs / probs.sum(1, keepdims=True)).astype(np.float32)
  folder = subset.results.workdir.scores(None, conftest.STEP)
  artifacts.write_npy(folder / 'pred_probs.npy', probs)
  return probs


def test_datalab(digits, tmp_path):
  probs = _with_predictions(digits)
  output = _export(digits, 'datalab', tmp_path / 'out')
  kept = digits.example_index
  labels = digits.dataset.train.labels[kept]
  assert np.load(output / 'labels.npy').tolist() == labels.tolist()
  found = np.load(output / 'pred_probs.npy')
  np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
  present = np.unique(labels)
  assert found.shape == (len(kept), len(present))
  np.testing.assert_array_equal(
    found.argmax(1), probs[kept][:, present].argmax(1)
  )


def test_datalab_of_the_most_probable_classes(digits, tmp_path, monkeypatch):
  probs = _with_predictions(digits)
  labels = digits.dataset.train.labels
  monkeypatch.setattr(top_probs, 'NUM_KEPT', 5)
  top = top_probs.keep_most_probable([probs])
  top_probs.write(digits.results.workdir.scores(None, conftest.STEP), top)
  output = _export(digits, 'datalab', tmp_path / 'out')
  kept = digits.example_index
  rows = top[kept][:, np.unique(labels[kept])]
  np.testing.assert_allclose(
    np.load(output / 'pred_probs.npy'), rows / rows.sum(1, keepdims=True)
  )
  monkeypatch.setattr(datalab, '_MAX_BYTES', 100)
  with pytest.raises(DataDietError, match='export a smaller selection'):
    _export(digits, 'datalab', tmp_path / 'other')


@pytest.mark.filterwarnings('ignore')
def test_datalab_opens_it(digits, tmp_path):
  pytest.importorskip('cleanlab.datalab.datalab')
  _with_predictions(digits)
  num = digits.results.num_examples
  features = np.random.default_rng(0).normal(size=(num, 8)).astype(np.float32)
  path = digits.results.workdir.inspection / 'embeddings.npy'
  artifacts.write_npy(path, features)
  output = _export(digits, 'datalab', tmp_path / 'out')
  issues = runpy.run_path(str(output / 'datalab.py'))['issues']
  assert len(issues) == len(digits.example_index)
  assert {'label_score', 'outlier_score'} <= {*issues}


def test_flags_of_the_inspection_are_exported(digits, tmp_path, monkeypatch):
  first, second = digits.example_index[:2].tolist()
  num = digits.results.num_examples
  rows = [{first: 'dark;blurry'}.get(i, '') for i in range(num)]
  inspection = Inspection(
    manifest={'flags': {'dark': 1, 'blurry': 1}},
    pairs=pd.DataFrame(),
    groups=pd.DataFrame(
      {'split': ['train'], 'example_index': [second], 'keep': [0]}
    ),
    examples=pd.DataFrame({'flags': rows}),
    bad_groups=pd.DataFrame(),
    shortcuts=pd.DataFrame(),
  )
  monkeypatch.setattr(findings, 'read_inspection', lambda results: inspection)
  output = _export(digits, 'coco', tmp_path / 'out')
  content = json.loads((output / 'annotations.json').read_text())
  flags = [one['attributes']['flags'] for one in content['annotations']]
  assert flags[:3] == ['dark;blurry', 'duplicate', '']


def test_datalab_needs_something(digits, tmp_path):
  with pytest.raises(DataDietError, match='neither .*config.train.folds'):
    _export(digits, 'datalab', tmp_path / 'out')


def test_all_examples(digits, tmp_path):
  root = digits.results.workdir.root
  output = export_selection(root, 'all', 'lists', tmp_path / 'out')
  found = (output / 'ids.txt').read_text().split()
  assert found == load_dataset(digits.settings).train.ids.tolist()
