"""Tests of tiny models run on one thread: with more, the threads spend their time waiting for each other."""

import gc
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

from storage.home import Home

torch.set_num_threads(1)
gc.disable()  # until all is collected: it would look at what the modules make again and again


def pytest_collection_finish() -> None:
    """Leave what modules made out of every collection to come. There are a million such objects, and looking at them took half of the suite's time."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture
def without_collection():
    """For tests that measure processor time: collecting the garbage of all tests before would take half a second of it."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    """A home without anything in it, which the environment names."""
    monkeypatch.setenv("MIGAKI_HOME", str(tmp_path / "home"))
    return Home.current()


# What these hand out takes seconds to import, which tests that need none of it would wait for: hence imports inside.


@pytest.fixture(scope="session")
def embedder_folder(tmp_path_factory) -> Path:
    """A tiny embedder, which no test may change."""
    from tests.helpers.embedder import save_tiny_embedder

    return save_tiny_embedder(tmp_path_factory.mktemp("embedder"))


@pytest.fixture(scope="session")
def small_project(tmp_path_factory):
    """A project to run the command on, which no test may change."""
    from tests.helpers.small_project import SmallProject

    return SmallProject.write(tmp_path_factory.mktemp("project"))


@pytest.fixture
def served(tmp_path):
    """A home whose indexes are registered and serve."""
    from tests.helpers.project import ServedProject

    return ServedProject(tmp_path)
