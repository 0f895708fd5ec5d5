"""All scores by name, each with the statement that goes into its manifest."""

from collections.abc import Iterable

import jax.numpy as jnp

from datadiet.errors import DataDietError
from datadiet.scoring import dynamics, forward
from datadiet.scoring.score import (
  DATA,
  DYNAMICS,
  FEATURES,
  FORWARD,
  GRADIENT,
  HELD_OUT,
  TRAJECTORY,
  WINDOWS,
  Score,
)
from datadiet.settings import closest
from datadiet.training import recorders
from datadiet.training.recorders import Recorder
from datadiet.workdir import visits

# What checkpoint scores may compute in -> the type of activations.
# Products are of this precision too: left alone, GPUs round those of float32 to
# TF32 and TPUs to bfloat16.
PRECISIONS = {
  'float32': 'float32',
  'tensorfloat32': 'float32',
  'bfloat16': 'bfloat16',
}


def _input_norm(images):
  axes = tuple(range(1, images.ndim))
  return jnp.sqrt(jnp.sum(jnp.square(images), axes))


_PAUL = 'Paul, Ganguli, Dziugaite 2021, arXiv 2107.07075'
_PREDECESSOR = 'code of Paul et al. 2021'
_TONEVA = 'Toneva et al. 2019, arXiv 1812.05159'
_SWAYAMDIPTA = 'Swayamdipta et al. 2020, arXiv 2009.10795'

SCORES: dict[str, Score] = {
  # Of one forward pass.
  'el2n': Score(
    kind=FORWARD,
    function=forward.el2n,
    definition='|| p - onehot(y) ||_2',
    higher_is='harder',
    based_on='probabilities',
    source=_PAUL,
  ),
  'el1n': Score(
    kind=FORWARD,
    function=forward.el1n,
    definition='|| p - onehot(y) ||_1',
    higher_is='harder',
    based_on='probabilities',
    source=_PREDECESSOR,
  ),
  'max_margin': Score(
    kind=FORWARD,
    function=forward.max_margin,
    definition='max over k != y of p_k - p_y',
    higher_is='harder',
    based_on='probabilities',
    source=_PREDECESSOR,
  ),
  'sum_margin': Score(
    kind=FORWARD,
    function=forward.sum_margin,
    definition='sum over k != y of (p_k - p_y)',
    higher_is='harder',
    based_on='probabilities',
    source=_PREDECESSOR,
  ),
  'loss': Score(
    kind=FORWARD,
    function=forward.loss,
    definition='-log p_y',
    higher_is='harder',
    based_on='logits',
    source='cross-entropy',
  ),
  'entropy': Score(
    kind=FORWARD,
    function=forward.entropy,
    definition='-sum over k of p_k log p_k',
    higher_is='harder',
    based_on='probabilities',
    source='Shannon entropy',
  ),
  'confidence': Score(
    kind=FORWARD,
    function=forward.confidence,
    definition='p_y',
    higher_is='easier',
    based_on='probabilities',
    source='probability of the label',
  ),
  'grand_last': Score(
    kind=FORWARD,
    function=forward.grand_last,
    definition='norm of the gradient of -log p_y in the last dense layer',
    higher_is='harder',
    based_on='gradients',
    source='last-layer GraNd, as in DeepCore',
    needs=frozenset({FEATURES}),
  ),
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
    source=_PAUL,
  ),
  'grand_subset': Score(
    kind=GRADIENT,
    definition=(
      'norm of the gradient of -log p_y in the params whose path matches '
      'score.grand_subset'
    ),
    higher_is='harder',
    based_on='gradients',
    source=_PAUL,
    settings={'params': 'score.grand_subset'},
  ),
  'unclog': Score(
    kind=GRADIENT,
    definition=(
      'norm of sum over k of (grad z_k - its mean over a class-balanced sample)'
    ),
    higher_is='neither',
    based_on='gradients',
    source=_PREDECESSOR,
    settings={
      'sample_size': 'score.unclog_sample_size',
      'sample_seed': 'score.unclog_seed',
    },
  ),
  # Of the training visits.
  'forgetting': Score(
    kind=DYNAMICS,
    function=dynamics.forgetting,
    definition=(
      'times right at one visit and wrong at the next; never right: visits + 1'
    ),
    higher_is='harder',
    based_on='probabilities',
    source=_TONEVA,
  ),
  'never_learned': Score(
    kind=DYNAMICS,
    function=dynamics.never_learned,
    definition='1 if wrong at every visit',
    higher_is='harder',
    based_on='probabilities',
    source=_TONEVA,
  ),
  'aum': Score(
    kind=DYNAMICS,
    function=dynamics.aum,
    definition='mean over visits of z_y - max over k != y of z_k',
    higher_is='easier',
    based_on='logits',
    source='Pleiss et al. 2020, arXiv 2001.10528',
  ),
  'correctness': Score(
    kind=DYNAMICS,
    **visits.DATA_MAP['correctness'],
    based_on='probabilities',
    source=_SWAYAMDIPTA,
  ),
  'mean_confidence': Score(
    kind=DYNAMICS,
    **visits.DATA_MAP['mean_confidence'],
    based_on='probabilities',
    source=_SWAYAMDIPTA,
  ),
  'variability': Score(
    kind=DYNAMICS,
    **visits.DATA_MAP['variability'],
    based_on='probabilities',
    source=_SWAYAMDIPTA,
  ),
  'first_learned': Score(
    kind=DYNAMICS,
    function=dynamics.first_learned,
    definition=(
      'step of the first visit at which it was right; never: the number of '
      'steps'
    ),
    higher_is='harder',
    based_on='steps',
    source=_TONEVA,
  ),
  'dual': Score(
    kind=DYNAMICS,
    function=dynamics.dual,
    definition='mean over windows of J visits of std(p_y) (1 - mean(p_y))',
    higher_is='harder',
    based_on='probabilities',
    source='Cho et al. 2025, arXiv 2502.06905',
    needs=frozenset({WINDOWS}),
    recorders=(recorders.WINDOWS,),
  ),
  'dyn_unc': Score(
    kind=DYNAMICS,
    function=dynamics.dyn_unc,
    definition='mean over windows of J visits of std(p_y)',
    higher_is='harder',
    based_on='probabilities',
    source='He et al. 2024, arXiv 2306.05175',
    needs=frozenset({WINDOWS}),
    recorders=(recorders.WINDOWS,),
  ),
  'tdds': Score(
    kind=DYNAMICS,
    function=dynamics.tdds,
    definition=(
      'exponential mean (0.9 on the newest) over windows of J visits of the '
      'norm of KL(p_t+1 || p_t) minus its mean'
    ),
    higher_is='harder',
    based_on='probabilities',
    source='Zhang et al. 2024, arXiv 2311.13613',
    needs=frozenset({WINDOWS}),
    recorders=(recorders.CHANGES,),
  ),
  # Of several steps.
  'tracin_self': Score(
    kind=TRAJECTORY,
    definition='sum over scored steps t of learning_rate_t grand_t^2',
    higher_is='harder',
    based_on='gradients',
    source='Pruthi et al. 2020, arXiv 2002.08484',
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


def split_step(selected: str) -> tuple[str, int | None]:
  """'el2n@7800' as ('el2n', 7800); no step for a name alone."""
  name, _, step = selected.partition('@')
  return name, int(step) if step else None


def resolve_selected(scores: Iterable[str]) -> tuple[str, ...]:
  """As `resolve`, for names that may have a step, such as 'el2n@7800'."""
  resolved = []
  for score in scores:
    name, at, step = score.partition('@')
    resolved.append(f'{resolve([name])[0]}{at}{step}')
  return tuple(dict.fromkeys(resolved))


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
