"""Which scores there are to select by, and rules on those asked for."""

from datadiet.config.sections import Config
from datadiet.errors import ConfigError
from datadiet.scoring import registry
from datadiet.settings import closest


def mean_scores(config: Config) -> tuple[str, ...]:
  """The scores that have a mean over runs, where they are defined.

  Those of score.names, and where runs train on random subsets these by the
  runs that left the example out: of a forward pass, and of gradients where all
  runs have them. With folds the mean of a forward score is that already.
  """
  names = config.score.names
  if config.train.subset_fraction == 1.0:
    return names
  limit = config.score.gradient_runs
  of_all_runs = names
  if limit and limit < config.train.num_runs:
    of_all_runs = registry.of_kind(names, registry.FORWARD)
  return (*names, *registry.out_of_sample(of_all_runs))


def check_are_known(config: Config) -> None:
  """Refuses an item of select.scores that names no score."""
  known = registry.SCORES
  for selected in config.select.all_scores:
    score, _ = registry.split_step(selected)
    if registry.find(score) is None:
      hint = closest(score, [*known, *registry.out_of_sample(known)])
      raise ConfigError(
        f'config.select.scores: {selected!r} is not allowed; allowed: one of '
        f'{", ".join(known)}, or one with its step such as el2n@7800{hint}'
      )


def check_are_computed(config: Config) -> None:
  """Refuses scores to select by that the score stage does not give."""
  if config.select.scores_path:
    return
  computed = mean_scores(config)
  for selected in config.select.all_scores:
    name, _ = registry.split_step(selected)
    if name in computed:
      continue
    if name not in registry.SCORES:
      made_of = registry.get(name).made_of
      raise ConfigError(
        f'config.select.scores: {name!r} is of runs that leave examples out; '
        f'allowed: with train.subset_fraction below 1, {made_of!r} in '
        'score.names and, of gradients, score.gradient_runs=0; with '
        f'train.folds {made_of!r} itself is out of sample'
      )
    raise ConfigError(
      f'config.select.scores: {name!r} is not computed; allowed: one of '
      f'score.names = {", ".join(config.score.names)}'
    )
