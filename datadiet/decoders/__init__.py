"""Decoding of images, in processes that import little."""
