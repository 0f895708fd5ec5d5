"""Policies that choose which examples to keep; numpy and scipy."""

from datadiet.selection.budgets import BUDGETS, can_balance, class_budgets
from datadiet.selection.interface import EMBEDDINGS, Policy, SelectionInputs
from datadiet.selection.naming import num_kept, selection_name
from datadiet.selection.policies import ALIASES, POLICIES, check_policy
from datadiet.selection.select import check_possible, select_examples

__all__ = [
  'ALIASES',
  'BUDGETS',
  'EMBEDDINGS',
  'POLICIES',
  'Policy',
  'SelectionInputs',
  'can_balance',
  'check_possible',
  'check_policy',
  'class_budgets',
  'num_kept',
  'select_examples',
  'selection_name',
]
