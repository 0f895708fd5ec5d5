"""Norms of per-example gradients of any JAX loss, without forming them."""

from datadiet.scoring.grad_norm.transform import LeafPlan, explain, grad_norm

__all__ = ['LeafPlan', 'explain', 'grad_norm']
