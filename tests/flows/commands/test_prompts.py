"""`migaki prompts`, and prompts that a release was made of."""

import io
import json

import pytest

from flows.commands.prompts import prompts
from flows.retrain import retrain
from flows.running.releases import keep_release, release_of
from storage.catalog import Catalog
from storage.home import Home
from storage.kinds import Release
from storage.queries.prompts import used_prompts
from tasks.chatbot.release import Sections
from tasks.chatbot.settings import ChatSettings
from tasks.errors import MigakiError
from tasks.prompts.library.library import open_library
from tasks.shown import shown
from tests.helpers.releases import part
from tests.helpers.small_project import tiny_model

OWN = """name: brief
lang: ja
kind: answer
fields: [context, question]
messages: [{role: user, content: "{context}によれば？ {question}"}]
"""


def asked(home: Home, action: str, *names: str, folder: str = "", fields: tuple[str, ...] = (), **more) -> tuple[dict, str]:
    out = io.StringIO()
    return prompts(home, action, names, folder, fields, out, **more), out.getvalue()


def release(home: Home, *templates: str, former: Release | None = None) -> Release:
    model = part(home, "model001", "model", {"precision": "fp32"})
    made = release_of(home, Sections.of({"chat": {"templates": list(templates)}}), model, "", former)
    keep_release(home, made)
    return made


def test_a_release_names_its_prompts_and_the_catalog_keeps_their_versions(home, tmp_path):
    plain = release(home)
    assert plain.prompts is None
    kept = Catalog.of(home).query("SELECT name, lang, content->>'$.messages[0].content' AS text FROM prompts ORDER BY lang")
    assert [(row["name"], row["lang"]) for row in kept] == [("notes", "en"), ("notes", "ja")]
    assert [row["text"] for row in kept] == [plain.templates["en"], plain.templates["ja"]]
    (tmp_path / "b.yaml").write_text(OWN, encoding="utf-8")
    named = release(home, "brief", str(tmp_path / "b.yaml"))
    assert named.templates["ja"] == "{context}によれば？ {question}" and "Use only what these notes say" in named.templates["en"]
    assert [(one.name, one.lang) for one in named.prompts] == [("brief", "en"), ("brief", "ja")]
    assert named.prompts[0].version == open_library().versions["brief", "en"] != named.prompts[1].version
    assert release(home, "notes", former=named).templates == plain.templates
    assert release(home, "notes", former=named).prompts is None
    assert release(home, former=named) == named
    assert {one.version for one in used_prompts(home, "brief")} == {one.version for one in named.prompts}


def test_one_name_is_a_list_of_one():
    assert Sections.of({"chat": {"templates": "brief"}}).chat.templates == ["brief"]


def test_a_template_that_is_none_is_told_before_a_run_begins(home):
    with pytest.raises(MigakiError, match="is of the kind 'summarise': a release answers questions"):
        retrain.fn(chat=ChatSettings(templates=["summarise"]))
    assert not home.warehouse.exists()


def test_a_version_that_was_used_is_compared_with_what_there_is_now(home, tmp_path):
    (tmp_path / "b.yaml").write_text(OWN, encoding="utf-8")
    release(home, str(tmp_path / "b.yaml"))
    answer, told = asked(home, "diff", "brief@v1", "brief")
    assert [one["lang"] for one in answer["diffs"]] == ["ja"] and not answer["diffs"][0]["same"]
    assert "-- content: '{context}によれば？ {question}'" in told
    assert asked(home, "diff", "brief@v1", "brief", folder=str(tmp_path))[0]["diffs"][0]["same"]
    version = used_prompts(home, "brief")[0].version
    assert asked(home, "show", f"brief@{version[:6]}")[0]["prompts"][0]["version"] == version
    with pytest.raises(MigakiError, match=rf"used the prompt 'brief' in a version 'v2'; used were {version} \(ja\)"):
        asked(home, "show", "brief@v2")


def test_two_files_are_compared(home, tmp_path):
    for name, text in (("a.yaml", OWN), ("b.yaml", OWN.replace("によれば", "では"))):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert "+- content: '{context}では？ {question}'" in asked(home, "diff", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"))[1]


def test_a_prompt_is_rendered_in_the_language_of_its_fields(home, tmp_path):
    (tmp_path / "notes.txt").write_text("\ufeff- 九時から", encoding="utf-8")
    answer, told = asked(home, "render", "brief", fields=("question=受付は?", f"context=@{tmp_path / 'notes.txt'}"))
    assert "質問: 受付は?" in told and "\n- 九時から\n" in answer["prompts"][0]["messages"][0]["content"]
    assert "Question: 受付は?" in asked(home, "render", "brief.en", fields=("question=受付は?", "context=c"))[1]
    chained, _ = asked(home, "render", "digest", fields=("question=What?", "text=Long."))
    assert [one["name"] for one in chained["prompts"]] == ["summarise", "digest"]
    assert "[what summarise answers]" in chained["prompts"][1]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("action", "names", "fields", "complaint"),
    [
        ("render", ("brief",), ("question=x",), "the prompt 'brief' needs context"),
        ("render", ("brief",), ("question=x", "context=y", "tone=z"), "has no field tone; its fields are context, question"),
        ("render", ("brief",), ("question",), "'question' is not of the form name=value"),
        ("render", ("brief",), ("question=@none.txt",), "cannot be read as a text"),
        ("render", ("brief.fr",), (), "the prompt 'brief' is in en, ja, and not in 'fr'"),
        ("render", ("nothing",), (), "there is no prompt 'nothing'"),
        ("try", ("brief",), (), "the prompt 'brief' needs --field context=..."),
        ("render", ("brief",), ("question=a", "question=b", "context=c"), r"--field question=\.\.\. is given twice"),
        ("show", (), (), "this takes 1 name"),
        ("diff", ("brief",), (), "this takes 2 names"),
    ],
)
def test_what_cannot_be_done_is_said(home, action, names, fields, complaint):
    with pytest.raises(MigakiError, match=complaint):
        asked(home, action, *names, fields=fields)


def test_a_language_that_is_none_is_refused(home):
    with pytest.raises(MigakiError, match="--lang 'fr' is no language that is known here; accepted: en, ja"):
        asked(home, "list", lang="fr")


def test_a_file_with_a_chain_is_rendered_and_has_the_version_of_its_chain(home, tmp_path):
    (tmp_path / "minutes.yaml").write_text(
        'name: minutes\nlang: ja\nkind: summarise\nfields: [議事録]\nmessages: [{role: user, content: "決定事項だけを書いてください。\\n{議事録}"}]\n',
        encoding="utf-8",
    )
    mail = tmp_path / "mail.yaml"
    mail.write_text(
        'name: mail\nlang: ja\nkind: rewrite\nchain: {本文: minutes}\nmessages: [{role: user, content: "メールにしてください。\\n{本文}"}]\n',
        encoding="utf-8",
    )
    answer, _ = asked(home, "render", str(mail), folder=str(tmp_path), fields=("議事録=来週から在宅。",))
    assert [one["messages"][0]["content"].splitlines()[1] for one in answer["prompts"]] == ["来週から在宅。", "[what minutes answers]"]
    shown_file = asked(home, "show", str(mail), folder=str(tmp_path))[0]["prompts"][0]["version"]
    assert shown_file == open_library(str(tmp_path)).versions["mail", "ja"]
    with pytest.raises(
        MigakiError, match=r"mail\.yaml: the chain of 'mail' names 'minutes', and there is no such prompt in 'ja'; --prompts DIR"
    ):
        asked(home, "render", str(mail), fields=("議事録=来週から在宅。",))


def test_a_schema_that_no_answer_can_be_held_to_is_told_before_a_model_is_asked(home, tmp_path):
    own = tmp_path / "b.yaml"
    own.write_text(OWN + "output: json\noutput_schema: {type: strong}\n", encoding="utf-8")
    for action, fields in (("lint", ()), ("try", ("context=a", "question=b"))):
        with pytest.raises(MigakiError, match=r"brief\.ja: output_schema cannot be enforced: Invalid type: strong"):
            asked(home, action, str(own), fields=fields)


def test_the_advice_names_what_a_prompt_lacks(home, tmp_path):
    (tmp_path / "b.yaml").write_text(OWN, encoding="utf-8")
    answer, told = asked(home, "lint", str(tmp_path / "b.yaml"))
    assert told.splitlines()[0] == "brief.ja: 1 of 6" and "  no clear instruction: say in a sentence what is to be done" in told
    assert {one["principle"] for one in answer["prompts"][0]["advice"] if one["kept"]} == {"context"}


def test_a_prompt_is_tried_on_a_base_model_whose_answer_its_chain_hands_on(home, tmp_path):
    model = tiny_model(tmp_path / "model")
    said = {"run": {"model": model}, "chat": {"max_new_tokens": 12, "temperature": 0.0}}
    answer, told = asked(home, "try", "digest", fields=("question=What?", "text=Ships sail."), said=said)
    first, second = told.split("digest (en), asked of ")
    assert first.startswith(f"summarise (en), asked of {model}:") and shown(answer["answer"]) == second.partition(":\n")[2].strip()
    asked_json, _ = asked(home, "try", "classify", fields=("text=Ships sail.", "labels=sea, land"), said=said)
    assert list(json.loads(asked_json["answer"])) == ["label"]
