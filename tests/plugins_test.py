"""Runs the recipes of CONTRIBUTING.md as plugins, from outside the package."""

import os
import re

from datadiet.reporting import write_report
from datadiet.reporting.sections import SECTIONS
from tests import running
from tests.results.fixtures import dataset, workdir

__all__ = ['dataset', 'workdir']

RECIPES = dict(
  re.findall(
    r'<!-- recipe: ([\w ]+) -->\n```python\n(.*?)```',
    (running.REPOSITORY / 'CONTRIBUTING.md').read_text(),
    re.DOTALL,
  )
)


def test_a_section_is_on_the_page(monkeypatch, workdir, dataset):
  for name, section in SECTIONS.items():
    monkeypatch.setitem(SECTIONS, name, section)
  exec(compile(RECIPES['section'], 'recipe: section', 'exec'), {})
  try:
    write_report(workdir, dataset)
  finally:
    del SECTIONS['counts']
  page = (workdir.report / 'index.html').read_text()
  assert 'Examples by class' in page
  count = int((dataset.train.labels == 0).sum())
  assert f'<td>{count}</td>' in page


def test_all_recipes_run_in_one_experiment(tmp_path):
  for name, recipe in RECIPES.items():
    (tmp_path / f'my_{name.replace(" ", "_")}.py').write_text(recipe)
  names = ','.join(path.stem for path in tmp_path.glob('my_*.py'))
  env = running.environment(tmp_path)
  env['PYTHONPATH'] = f'{tmp_path}{os.pathsep}{env["PYTHONPATH"]}'
  flags = running.tiny_flags(
    tmp_path / 'workdir',
    plugins=names,
    dataset__name='stripes',
    model__name='mlp',
    model__options__dropout=0.2,
    optimizer__schedule='exponential',
    train__num_runs=1,
    train__num_steps=9,
    train__schedule_steps=9,
    train__eval_every_steps=9,
    train__checkpoint_every_steps=9,
    score__names='gini,worst_loss',
    score__steps='9,',
    select__scores='gini',
    select__policies='near_quantile',
    select__options__quantile=0.9,
    select__baselines='()',
    retrain__full=False,
    retrain__num_runs=1,
    retrain__num_steps=6,
  )
  ended = running.run_main(flags, env)
  assert ended.returncode == 0, ended.stderr
  assert 'gini_step_9_near_quantile' in ended.stdout
