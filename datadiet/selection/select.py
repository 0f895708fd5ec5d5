"""Runs one policy on checked inputs, over all examples or class by class."""

import contextlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from datadiet.errors import DataDietError
from datadiet.selection.budgets import balanced_quotas, proportional_quotas
from datadiet.selection.interface import (
  ARRAYS,
  EMBEDDINGS,
  Policy,
  SelectionInputs,
)
from datadiet.selection.policies import POLICIES, check_policy
from datadiet.selection.scaling import in_float32
from datadiet.settings import HIGHER_IS


def _first(where: np.ndarray) -> int:
  return int(np.flatnonzero(where)[0])


def _check_labels(inputs: SelectionInputs) -> np.ndarray:
  labels = np.asarray(inputs.labels)
  if labels.ndim != 1 or labels.dtype.kind not in 'iu':
    raise DataDietError(
      'labels have to be a one-dimensional array of integers, but are '
      f'{labels.dtype}{list(labels.shape)}'
    )
  outside = (labels < 0) | (labels >= inputs.num_classes)
  if outside.any():
    example_index = _first(outside)
    raise DataDietError(
      f'the label of example_index {example_index} is {labels[example_index]}, '
      f'but has to be from 0 to {inputs.num_classes - 1}'
    )
  return labels


def _check_array(
  what: str, values: Any, num_examples: int, num_dims: int
) -> np.ndarray:
  """Returns values as they are if they fit the examples and are finite.

  Those of two dimensions, of which float32 products are made, in float32.
  """
  array = np.asarray(values)
  if array.dtype.kind not in 'iuf':
    raise DataDietError(
      f'{what} have to be real numbers, but are {array.dtype}'
    )
  if array.ndim != num_dims or len(array) != num_examples:
    rest = ', num_features' if num_dims == 2 else ''
    raise DataDietError(
      f'{what} have to be of shape [{num_examples}{rest}], one row an example, '
      f'but are of shape {list(array.shape)}'
    )
  finite = np.isfinite(array) if num_dims == 1 else in_float32(array)
  rows_finite = np.all(finite.reshape(num_examples, -1), axis=1)
  if not rows_finite.all():
    example_index = _first(~rows_finite)
    shown = f': {array[example_index]}' if num_dims == 1 else ''
    range_ = ' in float32' if num_dims == 2 else ''
    raise DataDietError(
      f'{what} have to be finite{range_}, but those of example_index '
      f'{example_index} are not{shown}'
    )
  return array


def _check_inputs(
  name: str, policy: Policy, inputs: SelectionInputs
) -> SelectionInputs:
  """Checks what the policy needs and drops what it does not read."""
  labels = _check_labels(inputs)
  if inputs.embeddings not in ('', *EMBEDDINGS):
    raise DataDietError(
      f"embeddings is {inputs.embeddings!r}, but has to be 'features', "
      "'gradients' or ''"
    )
  arrays: dict[str, Any] = dict.fromkeys(ARRAYS)
  for what in policy.arrays(inputs.embeddings):
    values = getattr(inputs, what)
    if values is None:
      raise DataDietError(f'policy {name!r} needs {what}, but there are none')
    arrays[what] = _check_array(what, values, len(labels), ARRAYS[what])
  _check_pred_probs(arrays['pred_probs'], inputs.num_classes)
  if arrays['scores'] is not None:
    # Exact for float32, and safe to negate for every type.
    arrays['scores'] = arrays['scores'].astype(np.float64)
  if arrays['mean_confidence'] is not None:
    confidence = arrays['mean_confidence']
    outside = (confidence < 0) | (confidence > 1)
    if outside.any():
      example_index = _first(outside)
      raise DataDietError(
        'mean_confidence has to be from 0 to 1, but that of example_index '
        f'{example_index} is {confidence[example_index]}'
      )
  if inputs.higher_is not in HIGHER_IS:
    raise DataDietError(
      f"higher_is is {inputs.higher_is!r}, but has to be 'harder', 'easier' or "
      "'neither'"
    )
  if 'higher_is' in policy.needs and inputs.higher_is == 'neither':
    raise DataDietError(
      f'policy {name!r} has to know which scores are hard, so higher_is has to '
      "be 'harder' or 'easier', not 'neither'"
    )
  return SelectionInputs(
    labels,
    inputs.num_classes,
    higher_is=inputs.higher_is,
    embeddings=inputs.embeddings or policy.embeddings,
    **arrays,
  )


def _check_pred_probs(pred_probs: np.ndarray | None, num_classes: int) -> None:
  if pred_probs is None:
    return
  if pred_probs.shape[1] != num_classes:
    raise DataDietError(
      f'pred_probs have to have a column for each of {num_classes} classes, '
      f'but have {pred_probs.shape[1]}'
    )
  sums = pred_probs.sum(axis=1, dtype=np.float64)
  wrong = (pred_probs < 0).any(axis=1) | (np.abs(sums - 1) > 0.01)
  if wrong.any():
    example_index = _first(wrong)
    raise DataDietError(
      'pred_probs have to be probabilities, but those of example_index '
      f'{example_index} are {pred_probs[example_index].tolist()}'
    )


def _check_counts(num_keep: int, num_examples: int, **numbers: int) -> None:
  for what, value in {'num_keep': num_keep, **numbers}.items():
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
      raise DataDietError(f'{what} has to be an integer, but is {value!r}')
  if not 1 <= num_keep <= num_examples:
    raise DataDietError(
      f'num_keep is {num_keep}, but has to be from 1 to the number of '
      f'examples, {num_examples}'
    )
  for what, value in numbers.items():
    if value < 0:
      raise DataDietError(f'{what} is {value}, but has to be 0 or more')


def _check_quotas(
  quotas: np.ndarray, sizes: np.ndarray, num_keep: int
) -> np.ndarray:
  quotas = np.asarray(quotas)
  if quotas.shape != sizes.shape or quotas.sum() != num_keep:
    raise DataDietError(
      f'quotas have to be one number for each of {len(sizes)} classes that sum '
      f'to {num_keep}, but are {quotas.tolist()}'
    )
  wrong = (quotas < 0) | (quotas > sizes)
  if wrong.any():
    label = _first(wrong)
    raise DataDietError(
      f'the quota of class {label} is {quotas[label]}, but has to be from 0 to '
      f'the number of its examples, {sizes[label]}'
    )
  return quotas


def _kept(
  policy: Policy,
  inputs: SelectionInputs,
  num_keep: int,
  rng: np.random.Generator,
  options: Mapping[str, Any],
) -> np.ndarray:
  """What a policy keeps, int64[num_keep], checked.

  Raises:
    DataDietError: if it cannot keep so many, or returns something else than so
      many positions, ascending and distinct.
  """
  assert policy.function is not None  # Checked by `select_examples`.
  if policy.check:
    policy.check(inputs.num_examples, num_keep, **options)
  kept = np.asarray(policy.function(inputs, num_keep, rng=rng, **options))
  fits = (
    kept.shape == (num_keep,)
    and kept.dtype.kind in 'iu'
    and kept[0] >= 0
    and kept[-1] < inputs.num_examples
    and bool((np.diff(kept.astype(np.int64)) > 0).all())
  )
  if not fits:
    raise DataDietError(
      f'the policy ({policy.summary}) returned {kept.dtype}{list(kept.shape)} '
      f'where it had to return {num_keep} positions from 0 to '
      f'{inputs.num_examples - 1}, ascending and distinct'
    )
  return kept.astype(np.int64)


def _quotas(
  policy: Policy,
  sizes: np.ndarray,
  num_keep: int,
  class_balanced: bool,
  quotas: np.ndarray | None,
) -> np.ndarray | None:
  """How many of each class are kept, int64[num_classes]; None for all at once.

  Raises:
    DataDietError: quotas that do not fit, or a class that is too small.
  """
  if quotas is not None:
    return _check_quotas(quotas, sizes, num_keep)
  if class_balanced:
    return balanced_quotas(num_keep, sizes)
  return proportional_quotas(num_keep, sizes) if policy.by_class else None


def check_possible(
  policy_name: str,
  sizes: np.ndarray,
  num_keep: int,
  *,
  class_balanced: bool = False,
  quotas: np.ndarray | None = None,
  options: Mapping[str, Any] | None = None,
) -> None:
  """Checks a selection by what is known before there are any inputs.

  Args:
    policy_name: a name in POLICIES or ALIASES.
    sizes: int[num_classes], the examples of each class.
    num_keep: as the other arguments, of `select_examples`.
    class_balanced: whether classes are kept equal.
    quotas: int[num_classes], how many of each class are kept.
    options: options of the policy.

  Raises:
    DataDietError: if no scores or embeddings would make it possible.
  """
  name, values = check_policy(policy_name, options)
  policy = POLICIES[name]
  _check_counts(num_keep, int(sizes.sum()))
  quotas = _quotas(policy, sizes, int(num_keep), class_balanced, quotas)
  if policy.check is None:
    return
  if quotas is None:
    policy.check(int(sizes.sum()), int(num_keep), **values)
    return
  for label in np.flatnonzero(quotas).tolist():
    with _naming(label):
      policy.check(int(sizes[label]), int(quotas[label]), **values)


@contextlib.contextmanager
def _naming(label: int) -> Iterator[None]:
  """Errors within it say which class they are of."""
  try:
    yield
  except DataDietError as error:
    raise DataDietError(f'in class {label}, {error}') from error


def _select_by_class(
  policy: Policy,
  inputs: SelectionInputs,
  quotas: np.ndarray,
  entropy: list[int],
  options: dict[str, Any],
) -> np.ndarray:
  """Applies the policy within each class, of which it keeps its quota."""
  kept = []
  for label in np.flatnonzero(quotas).tolist():
    members = np.flatnonzero(inputs.labels == label)
    # Own streams: the draw of one class does not affect the others.
    rng = np.random.default_rng(
      np.random.SeedSequence(entropy, spawn_key=(label,))
    )
    with _naming(label):
      positions = _kept(
        policy, inputs.take(members), int(quotas[label]), rng, options
      )
    kept.append(members[positions])
  return np.sort(np.concatenate(kept))


def select_examples(
  policy_name: str,
  inputs: SelectionInputs,
  num_keep: int,
  *,
  class_balanced: bool = False,
  quotas: np.ndarray | None = None,
  seed: int = 0,
  draw: int = 0,
  options: Mapping[str, Any] | None = None,
) -> np.ndarray:
  """Chooses num_keep of N examples; the same arguments give the same ones.

  Args:
    policy_name: a name in POLICIES or ALIASES.
    inputs: what is known of the examples.
    num_keep: how many to keep, from 1 to N.
    class_balanced: whether every class keeps num_keep / num_classes, exact to
      one example, the policy applied within each class.
    quotas: int[num_classes], how many each class keeps instead, likewise; of
      `class_budgets`.
    seed: 0 or more; policies that do not draw ignore it.
    draw: 0 or more, for several draws with one seed; none of them is one of
      another seed.
    options: options of the policy; those left out keep their defaults.

  Returns:
    int64[num_keep], the example_index of each example kept, ascending.

  Raises:
    DataDietError: for an invalid argument.
  """
  name, values = check_policy(policy_name, options)
  policy = POLICIES[name]
  if policy.epochs:
    raise DataDietError(
      f'policy {name!r} changes its subset while training, so that there is no '
      'list of examples; retrain with it'
    )
  inputs = _check_inputs(name, policy, inputs)
  _check_counts(num_keep, inputs.num_examples, seed=seed, draw=draw)
  # A stream for each policy: two that draw do not share their draws.
  stream = zlib.crc32(f'selection/{name}'.encode())
  entropy = [int(seed), stream, int(draw)]
  sizes = np.bincount(inputs.labels, minlength=inputs.num_classes)
  quotas = _quotas(policy, sizes, int(num_keep), class_balanced, quotas)
  if quotas is not None:
    kept = _select_by_class(policy, inputs, quotas, entropy, values)
  else:
    rng = np.random.default_rng(np.random.SeedSequence(entropy))
    kept = _kept(policy, inputs, int(num_keep), rng, values)
  return kept
