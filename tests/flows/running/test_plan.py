"""The first thing that differs, in words."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

import flows.running.dispatch
from flows.catalogue.stages import STAGES
from flows.running.dispatch import run_here
from flows.running.parameters import BUNDLED_EMBEDDER, BUNDLED_EMBEDDER_EN, RunSettings
from flows.running.plan import first_difference, reason
from tasks.rag.settings import IndexSettings
from tasks.stages.keys import Ingredients

NOW = Ingredients(
    stage="tune",
    settings={"epochs": 3.0, "seed": 0},
    inputs={"dataset": "a" * 64},
    files={"documents": [[None, "docs", {"faq.md": "1", "料金.md": "2"}]]},
    models={"model": "m" * 64},
    code={"tasks/models/loader.py": "1", "tasks/training/loop.py": "2"},
    versions={"torch": "2.13.0"},
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {"epochs": 2.0, "seed": 0}}, "tune.epochs was 2.0 and is 3.0"),
        ({"settings": {"epochs": 3.0}}, "the setting tune.seed is new: 0"),
        ({"settings": {"epochs": 3.0, "seed": 0, "old": 1}}, "the setting tune.old is gone"),
        ({"inputs": {"dataset": "b" * 64}}, "its input 'dataset' was bbbbbbbbbbbb and is aaaaaaaaaaaa"),
        ({"inputs": {"dataset": "a" * 64, "pretrained": "c" * 64}}, "its input 'pretrained' was cccccccccccc and is none"),
        ({"files": {"documents": [[None, "docs", {"faq.md": "1"}]]}}, "the files of tune.documents have changed: 料金.md"),
        ({"models": {"model": "n" * 64}}, "its model is another: checksum nnnnnnnnnnnn, now mmmmmmmmmmmm"),
        ({"models": NOW.models | {"embedder_en": "e" * 64}}, "its embedder_en is another: checksum eeeeeeeeeeee, now none"),
        ({"models": {}}, "its model is another: checksum none, now mmmmmmmmmmmm"),
        ({"code": {"tasks/models/loader.py": "0", "tasks/training/loop.py": "2"}}, "the source file tasks/models/loader.py has changed"),
        ({"code": {"tasks/training/loop.py": "2"}}, "the source file tasks/models/loader.py is new to it"),
        ({"code": NOW.code | {"tasks/x.py": "0"}}, "the source file tasks/x.py is no longer part of it"),
        ({"versions": {"torch": "2.12.0"}}, "torch was 2.12.0 and is 2.13.0"),
        ({"versions": {"torch": "2.12.0"}, "settings": {"epochs": 2.0, "seed": 0}}, "tune.epochs was 2.0 and is 3.0"),
        ({}, ""),
    ],
)
def test_the_first_difference_is_named_with_both_sides(change, words):
    assert first_difference("tune", asdict(replace(NOW, **change)), NOW) == words


def test_files_are_named_only_where_they_may_be():
    before = asdict(replace(NOW, files={"documents": [[None, "docs", {"faq.md": "1"}]]}))
    assert first_difference("tune", before, NOW, names=False) == "the files of tune.documents have changed"


MADE = {"id": "0" * 64, "stage": "index", "created": "2026-01-01", "embedder": "wheel:former==1"}
INDEX = replace(NOW, stage="index", models={"embedder": "m" * 64, "embedder_en": "e" * 64})


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (None, "there is no artifact of it yet"),
        (MADE, "000000000000 was made by an earlier Migaki, whose keys held less"),
        # an index of the former format, whose run had another embedder and no second one
        (
            MADE | {"made_of": asdict(replace(INDEX, models={"embedder": "f" * 64}))},
            f"its embedder was wheel:former==1 and is {BUNDLED_EMBEDDER}",
        ),
        (
            MADE | {"embedder": BUNDLED_EMBEDDER, "embedder_en": None, "made_of": asdict(replace(INDEX, models={"embedder": "m" * 64}))},
            f"its embedder_en was none and is {BUNDLED_EMBEDDER_EN}",
        ),
        # the same embedder under another name is no reason
        (MADE | {"made_of": asdict(replace(INDEX, versions={"torch": "1"}))}, "torch was 1 and is 2.13.0"),
        (MADE | {"made_of": asdict(INDEX)}, "000000000000 is damaged: its checksums do not hold"),
    ],
)
def test_the_reason_names_models_as_people_do(manifest, words):
    references = {role: RunSettings().model_in(role) for role in STAGES["index"].models}
    assert reason(STAGES["index"], INDEX, manifest, references) == words


@pytest.mark.parametrize(("where", "named"), [("local", ": 料金.md"), ("prefect", "")])
def test_a_stage_that_makes_something_anew_says_why(home, monkeypatch, where, named):
    """And names no document on a page that others read."""
    lines, manifests = [], []
    before = MADE | {"made_of": asdict(replace(INDEX, files={"documents": [[None, "docs", {"faq.md": "1"}]]}))}
    monkeypatch.setattr(
        flows.running.dispatch, "get_run_logger", lambda: type("Logger", (), {"info": lambda self, line: lines.append(line)})()
    )
    monkeypatch.setattr(flows.running.dispatch, "print_line", lines.append)
    monkeypatch.setattr(flows.running.dispatch.ArtifactStore, "manifests", lambda store: iter(manifests))
    monkeypatch.setattr(flows.running.dispatch, "ProgressArtifacts", lambda: None)  # this is no flow run
    monkeypatch.setattr(
        flows.running.dispatch,
        "execute",
        lambda *given: SimpleNamespace(reused=bool(given[-1](INDEX))),
    )
    run = RunSettings(where=where)
    run_here(STAGES["index"], IndexSettings(), run, {}, "r")
    assert not any("anew" in line for line in lines)
    manifests += [MADE | {"stage": "tune"}, before, MADE | {"stage": "tune"}]
    run_here(STAGES["index"], IndexSettings(), run, {}, "r")
    assert lines[-1] == f"index is made anew: the files of index.documents have changed{named}"
