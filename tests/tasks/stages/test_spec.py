"""A declaration or a body that does not fit its kind is told at once, and how."""

import pytest

from storage.home import Home
from storage.kinds import Dataset, Model
from tasks.errors import MigakiError
from tasks.settings import StageSettings
from tasks.stages.execute import run_body
from tasks.stages.spec import StageSpec
from tasks.stages.work import Context, Work

ADDRESS = f"{__name__}:gives"


def gives(settings, inputs, work):
    return work.home.root / "words.txt" if work.id == "path" else Dataset(kept=1)


def test_a_kind_without_a_record_is_refused():
    with pytest.raises(MigakiError, match=r"stage 'words': no record in storage/kinds\.py is of kind 'report'; kinds are dataset, adapter"):
        StageSpec(name="words", help="", settings=StageSettings, kind="report", body=ADDRESS)


def test_a_body_returns_the_record_of_its_kind(tmp_path):
    spec, context = StageSpec(name="words", help="", settings=StageSettings, kind="dataset", body=ADDRESS), Context(Home(tmp_path), "", "")
    made = lambda spec, key: run_body(spec, StageSettings(), {}, Work(spec, tmp_path / key, context, {}), context)
    assert made(spec, "record") == Dataset(kept=1)
    with pytest.raises(MigakiError, match=r"test_spec:gives returned PosixPath; the body of a stage of kind 'dataset' returns Dataset"):
        made(spec, "path")
    with pytest.raises(MigakiError, match=f"returned Dataset; the body of a stage of kind 'model' returns {Model.__name__}"):
        made(StageSpec(name="words", help="", settings=StageSettings, kind="model", body=ADDRESS), "record")
