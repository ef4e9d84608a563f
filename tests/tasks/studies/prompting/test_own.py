"""Templates beside those of the release, through the engine that serves."""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from storage.kinds import Release
from tasks.errors import MigakiError
from tasks.prompts.context import bundled_templates
from tasks.prompts.library.library import open_library
from tasks.studies.figures import figures, winner
from tasks.studies.prompting.own import OwnPrompts, read_prompts
from tasks.studies.report import adopting
from tasks.studies.study import Journal, run_study
from tests.helpers.planted_releases import Reader, kiln_items, planted

ITEMS = [item for item in kiln_items() if item.suite == "answerable"]


class Obedient(Reader):
    """Answers well where it is told to use only what the notes say."""

    def _said(self, prompt, chance, temperature):
        told = "Use only what" in prompt or "書かれていることだけ" in prompt
        return super()._said(prompt, chance, temperature) if told else "Hello."


def study(*names: str) -> OwnPrompts:
    library, opened_with = open_library(), []
    release = Release(model="m", templates=bundled_templates(), chat={}, answering={"ja": "quote"}, tools={}, safety={})

    @contextmanager
    def opened(variant):
        opened_with.append(variant)
        engine = planted(Obedient(1.0), templates=variant.templates, max_calls=0)
        engine.answering = variant.answering
        yield engine

    made = OwnPrompts(ITEMS, release, read_prompts(names, library), library.taken_up, opened)
    made.opened_with = opened_with
    return made


def test_the_template_that_helps_is_shown_to_and_can_be_taken_up(tmp_path):
    one = study("brief", "notes")
    results = run_study(one, Journal(tmp_path / "a.jsonl"))
    assert [arm.name for arm in one.arms] == ["release", "brief", "notes"]
    found = {(f.arm, f.measure, f.lang): f.interval.value for f in figures(one, results) if not f.against}
    for lang in ("en", "ja"):
        assert found["brief", "correct", lang] == 1.0 and found["release", "correct", lang] == found["notes", "correct", lang] == 0.0
        assert found["release", "accepted", lang] == 1.0  # quoted behind what no source says
    best = winner(one, results)
    assert best.arm == "brief" and adopting(one, best) == "migaki retrain --set chat.templates=brief"
    assert [variant.answering for variant in one.opened_with] == [{"en": "write", "ja": "write"}] * 3
    assert one.opened_with[0] == replace(one.release, templates=bundled_templates())


def test_a_teams_prompt_is_taken_up_by_its_file(tmp_path):
    text = 'name: brief\nlang: ja\nkind: answer\nfields: [context, question]\nmessages: [{role: user, content: "{context} {question}"}]\n'
    (tmp_path / "b.yaml").write_text(text, encoding="utf-8")
    assert open_library(str(tmp_path)).taken_up("brief") == f"brief,{tmp_path / 'b.yaml'}"
    (tmp_path / "b.yaml").write_text(text.replace("brief", "own"), encoding="utf-8")
    assert open_library(str(tmp_path)).taken_up("own") == str(tmp_path / "b.yaml")


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ([], "names no prompt of the library"),
        (["brief", "brief"], "'brief' stands there twice"),
        (["none"], "there is no prompt 'none'"),
        (["summarise"], r"the prompt 'summarise' \(en\) is of the kind 'summarise'"),
    ],
)
def test_a_template_that_is_none_is_refused(names, complaint):
    with pytest.raises(MigakiError, match=complaint):
        study(*names)
