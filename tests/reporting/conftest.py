"""An invented workdir for every test here."""

from tests.results.fixtures import dataset, workdir

__all__ = ['dataset', 'workdir']
