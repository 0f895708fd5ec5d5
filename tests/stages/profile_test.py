"""Tests which trainings leave a profile: the train stage's first one alone."""

from datadiet import main
from datadiet.training import profiling
from tests import running


def test_the_train_stage_alone_is_profiled(tmp_path):
  config = running.tiny_config(
    train__num_runs=1,
    train__num_steps=22,
    train__schedule_steps=22,
    train__profile_steps=(2, 4),
    train__eval_every_steps=22,
    audit__threshold_samples=True,
    score__names=('el2n', 'aum'),
    score__steps=(22,),
    select__baselines=(),
    retrain__num_runs=1,
    retrain__num_steps=6,
    retrain__full=False,
  )
  workdir = tmp_path / 'workdir'
  main.run(
    config, str(workdir), ['train', 'score', 'audit', 'select', 'retrain']
  )
  assert (workdir / 'audit' / 'run_00' / 'manifest.json').exists()
  assert list(workdir.glob('retrain/*/run_00/manifest.json'))
  found = [path.parent for path in workdir.rglob('*.trace.json.gz')]
  (folder,) = (path.relative_to(workdir).parts[:3] for path in found)
  assert folder == ('train', 'run_00', profiling.FOLDER)
