"""What a server refuses of a run's parameters, by Prefect's own validation of the schema that `migaki platform` gives it."""

import importlib
from functools import cache

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from flows.running.forms import closed
from tests.helpers.parameter_sets import refused_by_the_run, refused_by_the_server, right
from tests.helpers.small_project import SETTINGS, SmallProject, write_files

WRONG = refused_by_the_server()


@cache
def form(flow):
    return closed(flow, parameter_schema(getattr(importlib.import_module(f"flows.{flow}"), flow)).model_dump_for_openapi())


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Its models are named alone: nothing is run."""
    return SmallProject(write_files(tmp_path_factory.mktemp("project")), "requests.jsonl", "models/tiny", "models/embedder")


@pytest.mark.parametrize("given", WRONG, ids=[f"{given.flow}-{next(iter(given.said))}-{number}" for number, given in enumerate(WRONG)])
def test_a_wrong_set_is_refused_with_the_settings_name(project, given):
    with pytest.raises(ValidationError) as refusal:
        validate(given.parameters(project), form(given.flow), raise_on_error=True)
    assert [word for word in given.words if word not in str(refusal.value)] == []


def test_right_sets_and_those_that_the_run_refuses_pass(project, tmp_path):
    sets = right(project, tmp_path) + refused_by_the_run(tmp_path)
    assert len(sets) + len(WRONG) >= 30 and SETTINGS.items() <= sets[0].said.items()
    for given in sets:
        validate(given.parameters(project), form(given.flow), raise_on_error=True)
