"""Runs the plugin in examples/ through the command line, from its folder."""

import json

import numpy as np

from tests import running


def test_a_plugin_adds_a_model_a_score_a_policy_data_and_a_schedule(tmp_path):
  workdir = tmp_path / 'workdir'
  done = running.run_main(
    [
      '--config=cnn_digits',
      f'--workdir={workdir}',
      '--stages=train,score,select,retrain',
      '--config.plugins=plugin',
      '--config.dataset.name=stripes',
      '--config.model.name=mlp',
      '--config.model.width=8',
      '--config.model.options.depth=1',
      '--config.optimizer.schedule=staircase',
      '--config.train.augmentation=none',
      '--config.train.num_runs=1',
      '--config.train.num_steps=16',
      '--config.train.schedule_steps=16',
      '--config.score.steps=16',
      '--config.score.names=el2n',
      '--config.score.names=el2n,doubt',
      '--config.select.scores=doubt',
      '--config.select.policies=every_other',
      '--config.select.options.stride=3',
      '--config.select.fractions=0.5',
      '--config.select.baselines=random',
      '--config.retrain.num_runs=1',
      '--config.retrain.num_steps=4',
      '--config.compilation_cache_dir=none',
    ],
    running.environment(tmp_path, num_devices=1),
    cwd=running.REPOSITORY / 'examples',
  )
  assert done.returncode == 0, done.stderr
  doubt = np.load(workdir / 'scores/mean/step_16/doubt.npy')
  assert doubt.shape == (512,)
  assert ((doubt >= 0) & (doubt <= 0.5)).all()
  stored = json.loads((workdir / 'config.json').read_text())['config']
  assert stored['plugins'] == ['plugin']
  assert stored['model']['options'] == {'depth': 1}
  # The second of two tuples counts.
  assert stored['score']['names'] == ['el2n', 'doubt']
  (name,) = (
    path.name for path in (workdir / 'selections').glob('doubt_step_16_every*')
  )
  assert (workdir / 'retrain' / name / 'run_00' / 'manifest.json').exists()
  # The settings of the workdir, plugin and all, from the workdir alone.
  again = running.run_main(
    [f'--workdir={workdir}', '--stages=select'],
    running.environment(tmp_path, num_devices=1),
    cwd=running.REPOSITORY / 'examples',
  )
  assert again.returncode == 0, again.stderr
  assert f'Settings: those of {workdir}/config.json' in again.stderr
