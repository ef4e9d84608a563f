"""A home for the tests of storage."""

import pytest

from storage.home import Home


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)
