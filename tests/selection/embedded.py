"""Small examples with features and predictions, and slow inner products."""

import numpy as np

from datadiet.selection import SelectionInputs


def make_inputs(seed=0, num_examples=40, num_classes=3, **changes):
  """Clusters of features, and predictions that are right more often than not.

  Features are float64 numbers that float32 holds, so that slow versions see the
  same ones.
  """
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, num_classes, num_examples)
  centres = rng.normal(size=(num_classes, 5))
  features = centres[labels] + rng.normal(size=(num_examples, 5))
  logits = rng.normal(size=(num_examples, num_classes))
  logits[np.arange(num_examples), labels] += 1
  probs = np.exp(logits)
  probs /= probs.sum(axis=1, keepdims=True)
  values = {
    'scores': rng.uniform(size=num_examples).astype(np.float32),
    'higher_is': 'harder',
    'features': features.astype(np.float32),
    'pred_probs': probs.astype(np.float32),
    **changes,
  }
  return SelectionInputs(labels.astype(np.int32), num_classes, **values)


def gradients(inputs):
  """Gradients in a last layer, multiplied out: float64[N, (F + 1) C]."""
  rows = []
  for features, probs, label in zip(
    inputs.features.astype(float),
    inputs.pred_probs.astype(float),
    inputs.labels,
  ):
    errors = probs - (np.arange(inputs.num_classes) == label)
    rows.append(np.outer([*features, 1.0], errors).ravel())
  return np.array(rows)


def cosines(rows):
  """float64[N, N], by definition."""
  lengths = np.sqrt((rows**2).sum(1))
  return np.array(
    [
      [a @ b / (m * n) for b, n in zip(rows, lengths)]
      for a, m in zip(rows, lengths)
    ]
  )


def greedy(num_examples, num_keep, value):
  """Adds the example with the largest value of the set, again and again."""
  kept = []
  while len(kept) < num_keep:
    gains = [
      -np.inf if i in kept else round(value([*kept, i]), 9)
      for i in range(num_examples)
    ]
    kept.append(int(np.argmax(gains)))
  return kept


def by_class(inputs, num_keep, choose):
  """The union over classes of what is chosen in each, in proportion."""
  kept = []
  sizes = [int((inputs.labels == c).sum()) for c in range(inputs.num_classes)]
  quotas = [0] * len(sizes)
  for _ in range(num_keep):
    # The next place goes where it is owed most (Webster's method).
    owed = [
      (size / (2 * quota + 1) if quota < size else 0)
      for size, quota in zip(sizes, quotas)
    ]
    quotas[int(np.argmax(owed))] += 1
  for label, quota in enumerate(quotas):
    members = np.flatnonzero(inputs.labels == label)
    if quota:
      kept += members[choose(inputs.take(members), quota)].tolist()
  return sorted(kept)
