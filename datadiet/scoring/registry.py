"""All scores by name, each with the statement that goes into its manifest.

Those of a forward pass and of the dynamics stand beside their functions.
"""

from collections.abc import Iterable

import jax.numpy as jnp

from datadiet.errors import DataDietError
from datadiet.scoring import dynamics, forward
from datadiet.scoring.score import (
  DATA,
  GRADIENT,
  HELD_OUT,
  PAUL,
  PREDECESSOR,
  TRAJECTORY,
  Score,
)

# For those who ask the registry for scores of a kind.
from datadiet.scoring.score import DYNAMICS as DYNAMICS
from datadiet.scoring.score import FEATURES as FEATURES
from datadiet.scoring.score import FORWARD as FORWARD
from datadiet.scoring.score import WINDOWS as WINDOWS
from datadiet.settings import closest
from datadiet.training.recorders import Recorder


def _input_norm(images):
  axes = tuple(range(1, images.ndim))
  return jnp.sqrt(jnp.sum(jnp.square(images), axes))


SCORES: dict[str, Score] = {
  **forward.FORWARD_SCORES,
  # Of the images alone.
  'input_norm': Score(
    kind=DATA,
    function=_input_norm,
    definition='norm of the normalised input',
    higher_is='neither',
    based_on='pixels',
    source='control of Kirsch 2023, arXiv 2303.14753',
  ),
  # Of one gradient pass.
  'grand': Score(
    kind=GRADIENT,
    definition=('norm of the gradient of -log p_y in all trainable parameters'),
    higher_is='harder',
    based_on='gradients',
    source=PAUL,
  ),
  'grand_subset': Score(
    kind=GRADIENT,
    definition=(
      'norm of the gradient of -log p_y in the params whose path matches '
      'score.grand_subset'
    ),
    higher_is='harder',
    based_on='gradients',
    source=PAUL,
    settings={'params': 'score.grand_subset'},
  ),
  'unclog': Score(
    kind=GRADIENT,
    definition=(
      'norm of sum over k of (grad z_k - its mean over a class-balanced sample)'
    ),
    higher_is='neither',
    based_on='gradients',
    source=PREDECESSOR,
    settings={
      'sample_size': 'score.unclog_sample_size',
      'sample_seed': 'score.unclog_seed',
    },
  ),
  'deepfool': Score(
    kind=GRADIENT,
    definition='length of the least change of the image that changes the class',
    higher_is='easier',
    based_on='gradients',
    source='Moosavi-Dezfooli et al. 2016, arXiv 1511.04599',
  ),
  **dynamics.DYNAMICS_SCORES,
  # Of several steps.
  'tracin_self': Score(
    kind=TRAJECTORY,
    definition='sum over scored steps t of learning_rate_t grand_t^2',
    higher_is='harder',
    based_on='gradients',
    source='Pruthi et al. 2020, arXiv 2002.08484',
    made_of='grand',
  ),
  'cld': Score(
    kind=TRAJECTORY,
    definition=(
      'correlation over scored steps of the differences of -log p_y with those '
      'of its mean over left-out examples of the class'
    ),
    higher_is='neither',
    based_on='logits',
    source='Nagaraj et al. 2025, arXiv 2508.20230',
    made_of='loss',
  ),
  # Of runs that left the example out.
  'memorization': Score(
    kind=HELD_OUT,
    definition='P(right | run trained on it) - P(right | run did not)',
    higher_is='harder',
    based_on='probabilities',
    source='Feldman and Zhang 2020, arXiv 2008.03703',
  ),
}

# Scores of one network, and what ends their names where they are averaged over
# the runs that did not train on the example.
_OF_ONE_NETWORK, _OUT_OF_SAMPLE = (FORWARD, GRADIENT), '_out_of_sample'

# The predecessor's names.
ALIASES = {
  'l2_error': 'el2n',
  'l1_error': 'el1n',
  'grad_norm': 'grand',
  'forget': 'forgetting',
}


def resolve(names: Iterable[str]) -> tuple[str, ...]:
  """Known score names, with aliases replaced and repetitions dropped.

  Raises:
    DataDietError: for an unknown name; lists the known ones.
  """
  resolved = []
  for name in names:
    name = ALIASES.get(name, name)
    if name not in SCORES:
      raise DataDietError(
        f'unknown score {name!r}; known are {", ".join(SCORES)}'
        f'{closest(name, [*SCORES, *ALIASES])}'
      )
    if name not in resolved:
      resolved.append(name)
  return tuple(resolved)


def find(name: str) -> Score | None:
  """A score, also such as 'el2n_out_of_sample'; None for an unknown name."""
  if name in SCORES:
    return SCORES[name]
  made_of = name.removesuffix(_OUT_OF_SAMPLE)
  score = SCORES.get(made_of)
  if score is None or score.kind not in _OF_ONE_NETWORK:
    return None
  return score.out_of_sample(made_of)


def get(name: str) -> Score:
  """A score that is known to be one, as `find`."""
  found = find(name)
  assert found is not None, name
  return found


def out_of_sample(names: Iterable[str]) -> tuple[str, ...]:
  """What scores of one network are called by runs that left examples out."""
  return tuple(
    f'{name}{_OUT_OF_SAMPLE}' for name in of_kind(names, *_OF_ONE_NETWORK)
  )


def own_name(selected: str) -> str:
  """The name that an alias stands for, with its step, if it has one."""
  name, at, step = selected.partition('@')
  return f'{ALIASES.get(name, name)}{at}{step}'


def split_step(selected: str) -> tuple[str, int | None]:
  """'el2n@7800' as ('el2n', 7800); no step for a name alone."""
  name, _, step = selected.partition('@')
  return name, int(step) if step else None


def of_kind(names: Iterable[str], *kinds: str) -> tuple[str, ...]:
  """The names whose scores are of one of the kinds, in order."""
  return tuple(name for name in names if SCORES[name].kind in kinds)


def needing(names: Iterable[str], need: str) -> tuple[str, ...]:
  """The names whose scores have a need, in order."""
  return tuple(name for name in names if need in SCORES[name].needs)


def recorded_for(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
  """(recorder, score that needs it) by name, for some scores."""
  return tuple(
    (recorder.name, name)
    for name in names
    for recorder in SCORES[name].recorders
  )


def recorders_for(names: Iterable[str]) -> tuple[Recorder, ...]:
  """What training has to record for some scores, each once.

  Raises:
    DataDietError: if two of them mean different recorders by one name.
  """
  found: dict[str, Recorder] = {}
  for name in names:
    for recorder in SCORES[name].recorders:
      if found.setdefault(recorder.name, recorder) != recorder:
        raise DataDietError(
          f'the score {name!r} has a recorder {recorder.name!r} that is not '
          'the one of that name of another score; give it another name'
        )
  return tuple(found.values())
