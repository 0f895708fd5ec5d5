"""Tests of which files make up which split, by their names."""

import itertools

import pytest

from datadiet.data.shards import group_files
from datadiet.data.splitting import canonical_split
from datadiet.errors import ConfigError, DataDietError

# Names of a train and a test file, as people and the Hub have them.
PAIRS = [
  ('plain_text/cifar10-train', 'plain_text/cifar10-test'),
  ('data/train-00000-of-00001', 'data/test-00000-of-00001'),
  (
    'data/train-00000-of-00001-0b6a3e1f8a3b9a3f',
    'data/test-00000-of-00001-98f0c7d2e5a1b4c6',
  ),
  ('default/train/0000', 'default/test/0000'),
  ('train/part-00000-of-00001', 'test/part-00000-of-00001'),
  (
    'train/part-00000-7f0f6b4e-8f5e-4d3b-9c2a-1d2e3f4a5b6c-c000.snappy',
    'test/part-00000-0f0f6b4e-8f5e-4d3b-9c2a-1d2e3f4a5b6c-c000.snappy',
  ),
  ('train/train', 'test/test'),
  ('Train', 'TEST'),
  ('my_training_set', 'my_evaluation_set'),
  ('seg_train/seg_train/0000', 'seg_test/seg_test/0000'),
  ('cifar-10.train', 'cifar-10.test'),
  ('train2017', 'test2017'),
]


@pytest.mark.parametrize('train, test', PAIRS)
def test_a_split_word_alone_in_a_name_is_the_split(train, test):
  found = group_files([test, train], 'here')
  assert found == {'train': [train], 'test': [test]}


@pytest.mark.parametrize(
  'word, split',
  [
    ('validation', 'validation'),
    ('valid', 'validation'),
    ('val', 'validation'),
    ('dev', 'validation'),
    ('Eval', 'test'),
    ('testing', 'test'),
    ('extra', 'extra'),
    ('latest', 'latest'),
    ('trains', 'trains'),
    ('devices', 'devices'),
  ],
)
def test_words_and_what_only_holds_them(word, split):
  names = ['train-00000-of-00001', f'{word}-00000-of-00001']
  found = group_files(names, 'here')
  assert found == {'train': names[:1], split: names[1:]}
  assert canonical_split(word) == split


@pytest.mark.parametrize(
  'paths',
  [
    ['full_size/train-0', '160px/train-0'],
    ['cifar10-train', 'cifar100-train'],
    ['cifar-10-train', 'cifar-100-train'],
    ['train_160px', 'train_320px'],
    ['train/full', 'train/small'],
    ['train/cifar10', 'train/cifar100'],
    ['en/0000', 'de/0000'],
    ['mnist_train', 'fashion_test'],
    ['full/train/0000', 'full/test/0000', 'small/train/0000'],
    ['data/train-0', 'metadata'],
  ],
)
def test_several_sets_are_refused_with_a_list(paths):
  for order in itertools.permutations(paths):
    with pytest.raises(ConfigError, match='holds . sets: .*data_dir') as error:
      group_files(order, 'here')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'paths, message',
  [
    (['train-00000-of-00002'], 'number 1 is missing'),
    (['train-00001-of-00002'], 'number 0 is missing'),
    (['train-00001-of-00001'], 'number 0 is missing'),
    (['train-00000-of-00004', 'train-00003-of-00004'], '1, 2 are missing'),
    (['train-00000-of-00001', 'train-00000-of-00002'], 'the same part'),
    (['train-00000-of-00002', 'train-00001-of-00003'], 'differ in how many'),
    (
      ['train-0-of-1-aaaaaaaa', 'train-0-of-1-bbbbbbbb'],
      'same',
    ),
    (['train/0000', 'train/0002'], 'number 1 is missing'),
    (['val-0', 'validation-0'], 'the same part'),
    (['train', 'Train'], 'the same part'),
    (['train-test'], 'names two splits, test and train'),
  ],
)
def test_parts_that_are_missing_or_there_twice_are_refused(paths, message):
  with pytest.raises(DataDietError, match=message):
    group_files(paths, 'here')


def test_parts_are_in_the_order_of_their_numbers():
  paths = [f'train-{i}' for i in range(12)]
  assert group_files(sorted(paths), 'here') == {'train': paths}
  paths = [f'train/part-{i:05d}-of-00012' for i in range(12)]
  assert group_files(paths[::-1], 'here') == {'train': paths}


def test_files_without_a_split_are_one_split_without_a_name():
  assert group_files(['0000', '0001'], 'here') == {'': ['0000', '0001']}
  assert group_files(['digits'], 'here') == {'digits': ['digits']}
