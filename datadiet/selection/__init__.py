"""Policies that choose which examples to keep; numpy only."""

from datadiet.selection.interface import EMBEDDINGS, Policy, SelectionInputs
from datadiet.selection.naming import num_kept, selection_name
from datadiet.selection.policies import ALIASES, POLICIES, check_policy
from datadiet.selection.select import can_balance, select_examples

__all__ = [
  'ALIASES',
  'EMBEDDINGS',
  'POLICIES',
  'Policy',
  'SelectionInputs',
  'can_balance',
  'check_policy',
  'num_kept',
  'select_examples',
  'selection_name',
]
