"""Tests of properties that tell the label, and of drift between splits."""

import numpy as np
import pytest

from datadiet.inspection.shortcuts import (
  DRIFT_ABOVE,
  DRIFT_BELOW,
  SHORTCUT_ABOVE,
  drift,
  name_properties,
  shortcuts,
)


def test_properties_that_predict_the_label_come_first():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 4, 2000)
  camera = np.where(rng.random(2000) < 0.9, labels, rng.integers(0, 4, 2000))
  found = shortcuts(
    {
      'chance': rng.normal(size=2000),
      'brightness': labels * 10 + rng.normal(0, 4, 2000),
      'source folder': np.array([f'camera{one}' for one in camera]),
      'constant': np.zeros(2000),
    },
    labels,
  )
  assert [*found][:2] == ['source folder', 'brightness']
  assert found['source folder'] == pytest.approx(0.9, abs=0.05)
  assert found['brightness'] > SHORTCUT_ABOVE
  assert found['chance'] < 0.05 and not found['constant']


def test_a_name_for_each_example_predicts_nothing():
  labels = np.random.default_rng(0).integers(0, 3, 300)
  ids = np.array([f'image{number}' for number in range(300)])
  assert shortcuts({'name': ids}, labels) == {'name': 0.0}


def test_rare_classes_count_as_much_as_others():
  labels = np.repeat([0, 1], [990, 10])
  found = shortcuts({'chance': np.zeros(1000)}, labels)
  assert found == {'chance': 0.0}
  assert shortcuts({'label': labels.astype(float)}, labels)['label'] == 1.0


def test_names_tell_the_source_but_not_the_class():
  ids = [
    f'train/{name}/{camera}_{number}.png'
    for number in range(10)
    for name, camera in (('cat', 'nikon'), ('dog', 'canon'))
  ]
  found = name_properties(ids, ('cat', 'dog'))
  assert {*found} == {'file name'}
  assert {*found['file name']} == {'nikon', 'canon'}
  ids = [one.replace('train/', f'part{n % 2}/') for n, one in enumerate(ids)]
  assert {*name_properties(ids, ('cat', 'dog'))} == {
    'file name',
    'source folder',
  }
  assert not name_properties([f'train_{n}' for n in range(30)], ())
  own = [f'{name}/{name}_{n}.png' for n in range(9) for name in ('cat', 'dog')]
  assert not name_properties(own, ('cat', 'dog'))


def test_drift_is_found_where_there_is_some():
  rng = np.random.default_rng(0)
  train, test = rng.normal(size=(1500, 5)), rng.normal(size=(1000, 5))
  accuracy, p_value = drift(train, test)
  assert accuracy < DRIFT_ABOVE and p_value > DRIFT_BELOW
  accuracy, p_value = drift(train, test + 0.5)
  assert accuracy > DRIFT_ABOVE and p_value < DRIFT_BELOW


def test_of_few_images_no_drift_is_told():
  assert drift(np.zeros((15, 2)), np.ones((15, 2))) == (0.5, 1.0)
