"""All settings with their defaults: the paper's protocol for ResNet-18.

The other files here change some of them. `python -m datadiet.main --help` lists
them all, each with what it does and what it may be. A value of 0, '' or () that
stands for "chosen" is filled in when a run starts; config.json in the workdir
holds what it was. Everything is checked before any work is done.
"""

from datadiet.config import get_config

__all__ = ['get_config']
