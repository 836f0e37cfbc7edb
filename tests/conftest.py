"""Fixtures for all tests. Imported here and nowhere else, so that there is one of each in a session."""

import gc

from support import memory
from support.engine import engine as engine
from support.halves import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler
from support.mesh import mesh as mesh
from support.postgres import postgres as postgres
from support.stack import stack as stack


def pytest_configure() -> None:
    """Before any fixture makes a directory."""
    memory.use_for_tests()


def pytest_collection_finish() -> None:
    """What is there at the start stays: looking through all tests takes 250 ms, and a journal is given no longer."""
    gc.collect()
    gc.freeze()
