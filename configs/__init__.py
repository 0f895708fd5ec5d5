"""Experiments: one short file each, all built on `base`."""
