"""Tests that the audit finds the same by the most probable classes alone."""

import numpy as np
import pytest

from datadiet import audit
from datadiet.audit import rates
from datadiet.audit.noise import true_classes
from datadiet.workdir import top_probs


def _problem(num, num_classes, noise, seed=0):
  """Predictions float32[num, num_classes], labels, and which are wrong.

  Networks mix up the ten classes of each group of ten.
  """
  rng = np.random.default_rng(seed)
  true = rng.integers(0, num_classes, num)
  labels = np.where(
    rng.random(num) < noise, rng.integers(0, num_classes, num), true
  )
  logits = rng.normal(0, 1.5, (num, num_classes))
  logits[true[:, None] // 10 == np.arange(num_classes) // 10] += 3
  logits[np.arange(num), true] += rng.normal(5, 3, num)
  probs = np.exp(logits)
  probs /= probs.sum(1, keepdims=True)
  return probs.astype(np.float32), labels, labels != true


def _judged(probs, labels):
  """All that the audit makes of predictions."""
  found = audit.calibrate(probs, labels)
  return {
    'noise': found.noise,
    'log_odds': found.log_odds,
    'noise_rate': found.noise_rate,
    'separation': found.separation,
    'probability': found.probability(audit.percentile_ranks(found.log_odds)),
    'issues': audit.confident_issues(probs, labels),
    'odds': audit.odds_against_labels(probs, labels, found.noise),
    'of_predictions': audit.of_predictions(probs, labels),
    'suggested': audit.most_probable(probs),
    'warning': audit.too_little_known(0.1, labels, 'the test split', probs),
  }


def _auroc(suspicion, is_wrong):
  ranks = audit.percentile_ranks(suspicion)
  # Of a wrong label and a right one, how often the wrong one is above.
  share = is_wrong.mean()
  return 0.5 + (ranks[is_wrong].mean() - 0.5) / (1 - share)


def test_all_classes_kept_give_the_same_to_the_last_bit(monkeypatch):
  monkeypatch.setattr(top_probs, 'NUM_KEPT', 20)
  probs, labels, _ = _problem(4000, 20, 0.1)
  top = top_probs.keep_most_probable([probs])
  assert isinstance(top, top_probs.TopProbs)
  found, expected = _judged(top, labels), _judged(probs, labels)
  for name, value in expected.items():
    np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_blocks_change_nothing_but_rounding(monkeypatch):
  monkeypatch.setattr(top_probs, 'NUM_KEPT', 120)
  probs, labels, _ = _problem(6000, 120, 0.1)
  top = top_probs.keep_most_probable([probs])
  top.block_size = 700
  found, expected = _judged(top, labels), _judged(probs, labels)
  for name in ('issues', 'suggested', 'of_predictions', 'warning'):
    np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
  for name in ('noise', 'log_odds', 'odds', 'noise_rate', 'separation'):
    np.testing.assert_allclose(
      found[name], expected[name], rtol=1e-6, atol=1e-9, err_msg=name
    )


def test_twenty_of_200_classes_find_the_same_wrong_labels():
  """5 % of the labels are wrong, and networks agree with 75 % of them."""
  probs, labels, is_wrong = _problem(20_000, 200, 0.05)
  top = top_probs.keep_most_probable([probs])
  assert top.probs.shape == (20_000, 20)
  found, expected = _judged(top, labels), _judged(probs, labels)
  np.testing.assert_array_equal(found['suggested'], expected['suggested'])
  # Measured: the same 706, of which 583 are wrong.
  assert expected['issues'].sum() > 600
  both, any_ = (
    join(found['issues'], expected['issues']).sum()
    for join in (np.logical_and, np.logical_or)
  )
  assert both > 0.99 * any_
  # 0.9895 and 0.9900; labels that are not among the twenty tie by half.
  aurocs = [_auroc(each['log_odds'], is_wrong) for each in (found, expected)]
  assert aurocs[1] > 0.985 and aurocs[0] > aurocs[1] - 0.001
  # 0.0402 and 0.0440, of 0.0494; with labels' own probabilities 0.0633.
  rates_found = found['noise_rate'], expected['noise_rate']
  assert abs(rates_found[0] - rates_found[1]) < 0.006
  # 0.0167 and 0.0164; with labels' own probabilities 0.0233.
  errors = [
    np.square(each['probability'] - is_wrong).mean()
    for each in (found, expected)
  ]
  assert errors[0] < errors[1] + 0.001
  assert (found['warning'] is None) == (expected['warning'] is None)


@pytest.mark.parametrize('own_rates', [0, 300])
def test_products_with_common_rates(own_rates):
  rng = np.random.default_rng(0)
  num_classes = 120
  noise = np.full((num_classes, num_classes), 0.001) * rng.uniform(
    0.5, 1.5, (num_classes, 1)
  )
  others = rng.integers(0, num_classes, (2, own_rates))
  noise[others[0], others[1]] = rng.uniform(0.01, 0.1, own_rates)
  np.fill_diagonal(noise, 0)
  np.fill_diagonal(noise, 1 - noise.sum(1))
  probs = rng.dirichlet(np.ones(num_classes), 50)
  top = top_probs.keep_most_probable([probs])
  assert rates.for_products(noise, probs) is noise
  product = rates.for_products(noise, top)
  assert isinstance(product, rates.CommonRates)
  np.testing.assert_allclose(probs @ product, probs @ noise)
  np.testing.assert_allclose(probs @ product.T, probs @ noise.T)
  np.testing.assert_allclose(
    true_classes(probs, product), true_classes(probs, noise)
  )
  # Where pairs differ it gains nothing.
  mixed = rng.dirichlet(np.ones(num_classes), num_classes)
  assert rates.for_products(mixed, top) is mixed
