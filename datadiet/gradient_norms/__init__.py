"""Norms of per-example gradients of any JAX loss, without forming them."""

from datadiet.gradient_norms.transform import LeafPlan, explain, grad_norm

__all__ = ['LeafPlan', 'explain', 'grad_norm']
