"""The table of stages against what hangs on it: flows, forms, deployments, the command."""

import importlib
import inspect
import subprocess
import sys

import pytest
import yaml
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from flows.catalogue.stages import DECLARED, FLOWS, SPECS, STAGES, stage
from flows.commands.parser import parser
from flows.running.forms import closed
from flows.running.parameters import RELEASE_SETTINGS, STAGE_SETTINGS
from storage.kinds import RECORDS
from tasks.errors import MigakiError
from tasks.stages.spec import StageSpec, function, load
from tests import ROOT

DEPLOYMENTS = {one["name"]: one for one in yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]}


@pytest.mark.parametrize("name", FLOWS)
def test_every_flow_has_its_file_its_form_and_its_deployment(name):
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    parameters = inspect.signature(flow.fn).parameters
    assert flow.name == name and parameters[name].annotation is FLOWS[name].settings and "run" in parameters
    deployment = DEPLOYMENTS[name]
    assert deployment["entrypoint"] == f"flows/{name}.py:{name}"
    assert deployment["work_pool"]["name"] == FLOWS[name].pool
    assert STAGE_SETTINGS[name] is FLOWS[name].settings


def form(name):
    """What `migaki platform` makes of a deployment's parameters."""
    return closed(name, parameter_schema(getattr(importlib.import_module(f"flows.{name}"), name)).model_dump_for_openapi())


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_form_shows_what_people_may_say_with_a_description_and_a_range(name):
    """What a run says of itself is hidden, and a server that checks parameters lets it pass all the same."""
    schema = form(name)
    assert "parent_run" not in schema["properties"] and "profile_applied" not in schema["definitions"]["RunSettings"]["properties"]
    said = {"run": {"where": "prefect", "profile": "quick", "profile_applied": True}} | ({"parent_run": "x"} if name in STAGES else {})
    validate(said, schema, raise_on_error=True, ignore_required=True)
    for field, about in schema["properties"].items():
        assert about.get("description") or "$ref" in about, field
    for settings in schema["definitions"].values():
        for field, about in settings.get("properties", {}).items():
            assert about.get("description"), f"{settings['title']}.{field}"
            for kind in about.get("anyOf", [about]):
                if kind.get("type") in ("integer", "number") and "enum" not in kind:
                    assert {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"} & kind.keys(), f"{settings['title']}.{field}"


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
@pytest.mark.parametrize(
    "said", [{"tunes": {}}, {"run": {"profil": "quick"}}, {"": 1}, {"parent_run_": "x"}, {"run": {"日本語": True}}], ids=str
)
def test_a_form_refuses_what_nothing_reads(name, said):
    section = said.get("run", said)
    known = "'profile', 'model'" if section is not said else "'run'"
    with pytest.raises(ValidationError, match=rf"{next(iter(section))!r} is not one of \[.*{known}.*\]"):
        validate(said, form(name), raise_on_error=True, ignore_required=True)


def test_a_flow_that_no_other_starts_takes_no_parent():
    for name in ("retrain", "harvest", "promote"):
        with pytest.raises(ValidationError, match="'parent_run' is not one of"):
            validate({"parent_run": "x"}, form(name), raise_on_error=True)


@pytest.mark.parametrize("spec", STAGES.values(), ids=STAGES)
def test_what_a_stage_names_is_there(spec):
    assert callable(function(spec.body)) and (not spec.fingerprint or callable(function(spec.fingerprint)))
    assert spec.kind in RECORDS and set(spec.models) <= {"model", "embedder", "embedder_en"}
    assert {name for stages in spec.inputs.values() for name in stages} <= STAGES.keys()
    assert spec.command in FLOWS and spec.settings is FLOWS[spec.command].settings
    assert set(spec.own_settings.model_fields) <= set(spec.settings.model_fields)
    if spec.part:  # the flow knows the stage by these parameters
        flow = getattr(importlib.import_module(f"flows.{spec.command}"), spec.command)
        assert spec.part.keys() <= inspect.signature(flow.fn).parameters.keys()


def test_every_field_of_a_declaration_is_read():
    """Outside the declarations: a field that nothing reads would promise what does not hold."""
    sources = [path.read_text(encoding="utf-8") for layer in ("flows", "tasks") for path in (ROOT / layer).rglob("*.py")]
    for name in StageSpec.__dataclass_fields__:
        assert any(f".{name}" in source for source in sources), name


def test_a_retraining_run_takes_the_settings_of_its_stages_and_of_its_release():
    flow = importlib.import_module("flows.retrain").retrain
    parameters = list(inspect.signature(flow.fn).parameters)
    assert parameters == list(dict.fromkeys(["run", *[name for name, spec in FLOWS.items() if spec.in_retrain], *RELEASE_SETTINGS]))


def test_the_command_lists_what_is_declared():
    commands = next(action for action in parser()._actions if action.dest == "command")
    helps = {action.dest: action.help for action in commands._choices_actions}
    assert {name: helps[name.replace("_", "-")] for name in FLOWS} == {name: spec.help for name, spec in FLOWS.items()}
    assert len(SPECS) == len(DECLARED)


def test_an_unknown_stage_and_an_unknown_address_say_what_there_is():
    with pytest.raises(MigakiError, match="no stage 'tuen'; stages are prepare, safety, pretrain, tune"):
        stage("tuen")
    with pytest.raises(MigakiError, match=r"no module 'tasks\.tuning'"):
        load("tasks.tuning.spec:TUNE")
    with pytest.raises(MigakiError, match=r"tasks\.training\.spec has no 'TUEN'"):
        load("tasks.training.spec:TUEN")


def test_specs_are_free_of_torch():
    modules = sorted({address.partition(":")[0] for address in DECLARED})
    code = f"import sys, importlib; [importlib.import_module(m) for m in {modules!r}]; print(sorted(set(sys.modules) & {{'torch', 'numpy', 'prefect', 'duckdb'}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
