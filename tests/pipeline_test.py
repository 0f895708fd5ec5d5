"""Tests of how a workdir is opened: what is refused leaves it as it was."""

import json

import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet import main, pipeline
from datadiet.errors import ConfigError, DataDietError
from datadiet.stages import STAGES, opening
from datadiet.workdir.artifacts import Workdir
from tests import running


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A workdir with one trained and scored network."""
  workdir = tmp_path_factory.mktemp('trained') / 'workdir'
  main.run(_config(), str(workdir), ['train', 'score'])
  return workdir


def _config(**changes):
  return running.tiny_config(
    **{
      'train__num_runs': 1,
      'train__num_steps': 22,
      'train__schedule_steps': 22,
      'score__steps': (22,),
      'score__names': ('el2n', 'input_norm'),
      **changes,
    }
  )


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      {'train__batch_size': 1_438},
      'config.train.batch_size: 1438 is not allowed; allowed: at most the 1437 '
      'train examples of digits',
    ),
    (
      {'select__sizes': (1_438,)},
      'config.select.sizes: 1438 keeps 1438 of 1437 examples; allowed: at '
      'least one batch of 64, at most all',
    ),
    (
      {'select__sizes': (63,)},
      'config.select.sizes: 63 keeps 63 of 1437 examples; allowed: at least '
      'one batch of 64, at most all',
    ),
    (
      {'select__fractions': (0.04,)},
      'config.select.fractions: 0.04 keeps 57 of 1437 examples; allowed: at '
      'least one batch of 64, at most all',
    ),
    (
      {'select__fractions': (1.0,), 'select__class_balanced': True},
      'config.select: el2n_step_22_keep_max_1437_balanced cannot be made: a '
      'class-balanced selection of 1437 examples needs 144 of class 0, which '
      "has 142; the smallest class, '8', has 139 of 1437, allowed: up to about "
      '1390 examples',
    ),
    (
      {'select__policies': ('offset',), 'select__options__offset': 1000},
      'config.select: el2n_step_22_offset_719_offset_1000 cannot be made: '
      "policy 'offset' cannot keep 719 examples",
    ),
    (
      {'select__policies': ('ccs',), 'select__fractions': (0.95,)},
      "config.select: el2n_step_22_ccs_1365 cannot be made: policy 'ccs' "
      'cannot keep 1365 examples',
    ),
    (
      {'select__policies': ('top_window',), 'select__scores': ('input_norm',)},
      "config.select.scores: 'input_norm', of which no end is hard, is not "
      "allowed with the policy 'top_window'; allowed: other scores",
    ),
    (
      {
        'select__policies': ('infobatch',),
        'select__fractions': (1.0,),
        'train__batch_size': 720,
      },
      "config.select.policies: 'infobatch' may leave 719 of 1437 examples to "
      'an epoch; allowed: at least a batch of 720',
    ),
    (
      {'train__crop_padding': 8},
      'config.train.crop_padding: 8 is not allowed; allowed: less than the '
      'image size 8',
    ),
  ],
)
def test_settings_that_do_not_fit_the_data(changes, message, tmp_path):
  with pytest.raises(ConfigError) as caught:
    main.run(_config(**changes), str(tmp_path / 'workdir'), list(STAGES))
  assert str(caught.value).startswith(message)
  assert not (tmp_path / 'workdir').exists()


def test_subsets_that_cannot_be_had_do_not_stop_other_stages(tmp_path):
  config = _config(
    select__fractions=(1.0, 0.01),
    select__class_balanced=True,
    select__policies=('ccs',),
  )
  main.run(config, str(tmp_path), ['train'])
  assert (tmp_path / 'train' / 'run_00' / 'manifest.json').exists()


def test_a_list_of_examples_of_other_data_is_refused(tmp_path):
  folder = tmp_path / 'selections' / 'mine'
  folder.mkdir(parents=True)
  np.save(folder / 'example_index.npy', np.arange(700))
  (folder / 'manifest.json').write_text('{"fingerprint": "0123"}')
  for path in (folder, folder / 'example_index.npy'):
    with pytest.raises(DataDietError, match='mine was made for other data'):
      main.run(
        _config(train__subset_path=str(path)), str(tmp_path / 'new'), ['train']
      )
  assert not (tmp_path / 'new').exists()


def _assert_refused(workdir, error, message, config, stages=tuple(STAGES)):
  """Asserts that a start is refused and changes no byte."""
  before = _all_but_timing(workdir)
  with pytest.raises(error) as caught:
    main.run(config, str(workdir), list(stages))
  assert '\n' not in str(caught.value)
  for part in message if isinstance(message, tuple) else (message,):
    assert part in str(caught.value)
  assert _all_but_timing(workdir) == before


def _all_but_timing(workdir):
  files = running.all_bytes(workdir)
  # A stage that fails took time too.
  return {name: files[name] for name in files if name != 'timing.json'}


def test_a_workdir_of_another_config_is_refused(trained):
  changes = {'model__width': 8, 'optimizer__learning_rate': 0.2}
  _assert_refused(
    trained,
    ConfigError,
    (
      f'{trained} was made with another config: ',
      'model.width (there 4, here 8)',
      'optimizer.learning_rate (there 0.1, here 0.2)',
      'use another --workdir',
    ),
    _config(**changes),
  )


@pytest.mark.parametrize(
  'changes',
  [
    {'train__model_seed': 1},
    {'train__data_seed': 1},
    {'train__num_steps': 11, 'score__steps': (11,)},
    {'train__augmentation': 'none'},
    {'train__batch_size': 32},
    {'optimizer__schedule': 'linear'},
    {'dataset__name': 'cifar10'},
  ],
)
def test_whatever_changes_results_is_refused(trained, changes):
  (name, value), *_ = changes.items()
  _assert_refused(
    trained,
    ConfigError,
    f'{name.replace("__", ".")} (there ',
    _config(**changes),
  )


def test_what_changes_no_result_is_allowed(trained):
  config = _config(
    train__log_every_steps=3,
    score__batch_size=77,
    score__names=('el2n',),
    select__fractions=(0.25,),
  )
  main.run(config, str(trained), ['train'])
  content = json.loads((trained / 'config.json').read_text())
  assert content['config']['score']['batch_size'] == 77
  # A workdir may be older than a setting.
  del content['config']['dataset']['test_split']
  (trained / 'config.json').write_text(json.dumps(content))
  main.run(_config(), str(trained), ['train'])


def test_runs_may_be_added_and_left_out(own):
  for num_runs in (2, 1):
    config = _config(train__num_runs=num_runs)
    main.run(config, str(own), ['train', 'score'])
    folders = [own / 'scores' / f'run_0{run}' for run in range(num_runs)]
    scores = [np.load(folder / 'step_22' / 'el2n.npy') for folder in folders]
    mean = np.load(own / 'scores' / 'mean' / 'step_22' / 'el2n.npy')
    np.testing.assert_allclose(mean, np.mean(scores, 0), rtol=1e-6)


def test_the_number_of_runs_that_share_out_examples_stays(tmp_path):
  workdir = Workdir.at(tmp_path)
  changes = {'train__subset_fraction': 0.5, 'train__num_runs': 4}
  opening.write_config(config_lib.resolve(_config(**changes)), workdir)
  changes['train__num_runs'] = 6
  with pytest.raises(ConfigError, match='train.num_runs .there 4, here 6'):
    opening.open_config(config_lib.resolve(_config(**changes)), workdir)


def _changed(path, **fields):
  content = json.loads(path.read_text())
  path.write_text(json.dumps({**content, **fields}))


@pytest.fixture
def own(trained, tmp_path):
  running.copy_without(trained, tmp_path / 'workdir', ())
  return tmp_path / 'workdir'


@pytest.mark.parametrize(
  ('name', 'stage'),
  [
    ('dataset.json', 'select'),
    ('train/run_00/manifest.json', 'train'),
    ('scores/run_00/step_22/manifest.json', 'score'),
  ],
)
def test_artifacts_of_other_data_are_refused(own, name, stage):
  fingerprint = json.loads((own / name).read_text())['fingerprint']
  _changed(own / name, fingerprint='0123456789abcdef')
  folder = (own / name).parent
  _assert_refused(
    own,
    DataDietError,
    (str(folder), 'was made for other data', '0123456789abcdef', fingerprint),
    _config(),
    [stage],
  )


def test_mean_scores_of_other_data_are_not_selected_by(own):
  _changed(own / 'scores/mean/step_22/manifest.json', fingerprint='0123')
  _assert_refused(
    own,
    DataDietError,
    (str(own / 'scores' / 'mean' / 'step_22'), 'was made for other data'),
    _config(),
    ['select'],
  )


@pytest.mark.parametrize(
  'name',
  [
    'config.json',
    'dataset.json',
    'train/run_00/manifest.json',
    'scores/run_00/step_22/manifest.json',
  ],
)
@pytest.mark.parametrize('content', [b'{"config": ', b'\xff\xfe\x00', b''])
def test_damaged_json_is_named(own, name, content):
  (own / name).write_bytes(content)
  _assert_refused(
    own,
    DataDietError,
    f'{own / name} is damaged (not valid JSON: ',
    _config(),
  )


def test_a_damaged_score_file_is_named(own):
  path = own / 'scores' / 'run_00' / 'step_22' / 'el2n.npy'
  path.write_bytes(path.read_bytes()[:100])
  # Scores are read before anything is written.
  with pytest.raises(DataDietError, match='is damaged') as caught:
    main.run(_config(), str(own), ['score', 'select'])
  assert str(path) in str(caught.value)
  path.unlink()
  main.run(_config(), str(own), ['score', 'select'])
  assert np.load(path).shape == (1437,)


def test_score_files_of_the_wrong_length_are_named(own):
  path = own / 'scores' / 'run_00' / 'step_22' / 'el2n.npy'
  np.save(path, np.zeros(1436, np.float32))
  with pytest.raises(DataDietError, match='1437 examples') as caught:
    main.run(_config(), str(own), ['score'])
  assert str(path) in str(caught.value)


@pytest.mark.parametrize(
  ('stages', 'message'),
  [
    (['score'], 'has no checkpoint of step 22; it has none'),
    (['select'], 'has no finished el2n; run the score stage first'),
  ],
)
def test_a_stage_says_what_it_lacks(tmp_path, stages, message):
  with pytest.raises(DataDietError, match=message):
    main.run(_config(), str(tmp_path / 'workdir'), stages)


def test_a_report_of_scores_without_their_images(own, monkeypatch):
  def gone(settings):
    raise DataDietError(f'{settings.name} is gone')

  page = own / 'report' / 'index.html'
  main.run(_config(), str(own), ['report'])
  assert 'images were not available' not in page.read_text()
  with monkeypatch.context() as patch:
    patch.setattr(pipeline, 'load_dataset', gone)
    main.run(_config(), str(own), ['report'])
    assert 'images were not available' in page.read_text()
    for stages in (['select'], ['select', 'report']):
      _assert_refused(own, DataDietError, 'digits is gone', _config(), stages)
  main.run(_config(), str(own), ['report'])
  assert 'images were not available' not in page.read_text()


def test_a_report_on_nothing_is_refused(tmp_path):
  nowhere = tmp_path / 'nowhere'
  message = f'--workdir: {nowhere} holds no results to report on'
  _assert_refused(nowhere, ConfigError, message, _config(), ['report'])
  assert not nowhere.exists()


def test_stages_run_in_their_order():
  assert pipeline.check_stages(['score', 'train']) == ['train', 'score']


def test_epochs_are_counted_in_steps_of_the_data(tmp_path):
  changes = {'train__schedule_steps': 0, 'score__steps': ()}
  config = _config(train__num_epochs=1, **changes)
  for _ in range(2):  # The second start finds everything done.
    main.run(config, str(tmp_path), ['train', 'score'])
  resolved = json.loads((tmp_path / 'config.json').read_text())['config']
  assert resolved['train']['num_steps'] == 22
  assert (tmp_path / 'scores' / 'run_00' / 'step_22' / 'el2n.npy').exists()
  with pytest.raises(ConfigError, match='train.num_epochs .there 1, here 2'):
    main.run(_config(train__num_epochs=2, **changes), str(tmp_path), ['train'])


def test_a_list_of_examples_to_train_on(tmp_path):
  kept = np.random.default_rng(0).permutation(1437)[:700]
  path = tmp_path / 'kept.npy'
  np.save(path, kept)
  config = _config(
    train__subset_path=str(path),
    train__early_every=5,
    train__early_until=10,
    score__names=('el2n', 'forgetting'),
  )
  workdir = tmp_path / 'workdir'
  main.run(config, str(workdir), ['train', 'score'])
  dynamics = np.load(workdir / 'train/run_00/dynamics/step_22.npz')
  visited = np.flatnonzero(dynamics['visits'])
  assert set(visited) <= set(kept) and len(visited) >= 640
  for step in (0, 5, 10):
    assert (workdir / f'train/run_00/checkpoints/{step}').exists()
  assert not (workdir / 'train/run_00/checkpoints/15').exists()
  folder = workdir / 'scores' / 'mean' / 'step_22'
  assert np.isfinite(np.load(folder / 'el2n.npy')).all()
  # What was not trained on has no dynamics.
  assert not (folder / 'forgetting.npy').exists()
  np.save(path, kept[:-1])
  with pytest.raises(DataDietError, match='has changed since this workdir'):
    main.run(config, str(workdir), ['train'])
  np.save(path, kept[:50])
  with pytest.raises(ConfigError, match='config.train.batch_size: 64'):
    main.run(config, str(tmp_path / 'new'), ['train'])
  np.save(path, np.array([3, 1437]))
  with pytest.raises(DataDietError, match='distinct integers from 0 to 1436'):
    main.run(config, str(tmp_path / 'new'), ['train'])
  assert not (tmp_path / 'new').exists()
