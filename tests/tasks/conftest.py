"""Homes in which stages run without Prefect."""

from collections.abc import Callable

import pytest

# What these hand out takes seconds to import, which tests that need none of it would wait for: hence imports inside.


@pytest.fixture(scope="session")
def new_align_project(tmp_path_factory):
    """Makes a home with a tuned model and its reward models."""
    from tests.helpers.align_project import AlignProject

    return lambda: AlignProject(tmp_path_factory.mktemp("align"))


@pytest.fixture
def align_project(new_align_project):
    return new_align_project()


@pytest.fixture
def new_training_project(tmp_path) -> Callable:
    """Makes a home with a tiny model of a family and a small dataset in the test's folder."""
    from tests.helpers.training_project import TrainingProject

    return lambda *model, **options: TrainingProject(tmp_path, *model, **options)


@pytest.fixture
def training_project(new_training_project):
    return new_training_project()
