"""Tests of tiny models run on one thread: with more, the threads spend their time waiting for each other."""

import gc
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def without_collection():
    """For tests that measure processor time: collecting the garbage of all tests before would take half a second of it."""
    gc.disable()
    yield
    gc.enable()
