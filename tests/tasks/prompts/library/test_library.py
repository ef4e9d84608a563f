"""Prompts as files: what is wrong with one is told by name and line; fields, examples and chains are filled in; versions follow what they hold."""

import json
import re
from pathlib import Path

import pytest

from tasks.errors import MigakiError
from tasks.prompts.library.files import read_prompt
from tasks.prompts.library.library import open_library
from tasks.prompts.library.lint import advise
from tasks.prompts.library.prompt import Prompt, Turn
from tasks.prompts.library.released import read_templates, template_of
from tasks.prompts.library.rendering import drawn, render
from tests import ROOT

PLAIN = """name: refund
lang: ja
kind: answer
fields: [question, context]
messages:
  - role: user
    content: "{context}\\n質問: {question}"
"""
ROWS = [{"q": f"How many legs have {n} cats?", "a": str(4 * n)} for n in range(1, 9)]


def written(folder: Path, text: str, name: str = "refund.ja.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def drawing(folder: Path, draw: str, count: int, rows=ROWS) -> Prompt:
    (folder / "cats.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    text = f"""name: cats
lang: en
kind: solve
fields: [q]
messages: [{{role: user, content: "{{examples}}\\n\\nQ: {{q}}"}}]
examples: {{layout: "Q: {{q}} A: {{a}}", file: cats.jsonl, count: {count}, draw: {draw}, by: q, seed: 1}}
"""
    return read_prompt(written(folder, text, "cats.en.yaml"))


def test_every_bundled_prompt_is_whole_and_is_in_every_language():
    library = open_library()
    names = {name for name, _ in library.prompts}
    assert {"notes", "brief", "summarise", "translate", "classify", "judge", "rewrite", "solve_number"} <= names
    assert {len(library.named(name)) for name in names} == {len(library.named("notes"))}
    assert all(len(version) == 12 for version in library.versions.values()) and len(set(library.versions.values())) == len(library.versions)
    assert "".join((ROOT / "pyproject.toml").read_text(encoding="utf-8").split('"tasks.prompts" = ["')[1][:14]) == "bundled/*.yaml"


def test_what_is_filled_in_is_text():
    prompt = Prompt(name="a", lang="en", kind="answer", messages=(Turn(role="user", content='{x} {y} {"json": 1} {z'),), fields=("x", "y"))
    [message] = render(prompt, {"x": "{y} {examples}", "y": "{x}"})
    assert message == {"role": "user", "content": '{y} {examples} {x} {"json": 1} {z'}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("question, context", "question"), r"the field \{context\} is used and not defined; defined are question"),
        (("context]", "context, tone]"), r"the field \{tone\} is defined and not used"),
        (("質問:", "{examples}"), r"the field \{examples\} is used and not defined; defined are context, question; it needs `examples`"),
        (("lang: ja", "lang: fr"), "lang 'fr' is no language that is known here; accepted: en, ja"),
        (("role: user", "role: assistant"), "the last message is of the role 'assistant'"),
        (
            ("role: user", "role: boss"),
            r"refund\.ja\.yaml, line 6: messages\.0\.role = 'boss': Input should be 'system', 'user' or 'assistant'",
        ),
        (("kind: answer", "kind: answer\nlanguage: ja"), r"line 4: language: Extra inputs are not permitted; known are name, lang"),
        (("name: refund", "name: Refund"), r"line 1: name = 'Refund': String should match .*; accepted are small letters"),
        (("[question, context]", "[question, context, 質問]"), "the field {質問} is defined and not used"),
        (("{question}", "{question}{質問}"), "the field {質問} is used and not defined"),
        (("[question, context]", "[question, context, Tone]"), "a field cannot be called 'Tone': accepted are letters of any script"),
        (("lang: ja", "lang: no"), "line 2: lang = False: Input should be a valid string"),
        (("[question, context]", "question"), "fields = 'question': Input should be a valid list"),
        (("kind: answer\n", "kind: answer\nkind: judge\n"), "line 4: kind stands there twice"),
        (("messages:", "messages: ["), r"refund\.ja\.yaml, line \d: this is no YAML"),
        (("kind: answer\n", "kind: answer\nreasoning: written steps\n"), "`steps` and reasoning 'written steps' go together"),
        (("kind: answer\n", "kind: answer\noutput: json\n"), "`output_schema` and output 'json' go together"),
        (("kind: answer\n", "kind: answer\nchain: {question: brief}\n"), "'question' is in `fields` and in `chain`"),
    ],
)
def test_a_prompt_that_is_none_is_refused_by_file_and_name(tmp_path, change, complaint):
    assert read_prompt(written(tmp_path, PLAIN)).fields == ("question", "context")
    with pytest.raises(MigakiError, match=complaint):
        read_prompt(written(tmp_path, PLAIN.replace(*change)))


@pytest.mark.parametrize("text", ["", "- a", "just words", "\ud83d".encode("utf-8", "surrogatepass").decode("latin-1")])
def test_a_file_that_holds_no_prompt_is_refused(tmp_path, text):
    with pytest.raises(MigakiError, match="refund"):
        read_prompt(written(tmp_path, text))
    with pytest.raises(MigakiError, match="cannot be read"):
        read_prompt(tmp_path / "none.yaml")


def test_too_few_examples_are_one_clear_message(tmp_path):
    with pytest.raises(MigakiError, match=r"examples\.count asks for 4, and .*cats\.jsonl has 1$"):
        drawing(tmp_path, "random", 4, ROWS[:1])
    with pytest.raises(MigakiError, match=r"cats\.jsonl, line 2: the field 'a' is missing"):
        drawing(tmp_path, "random", 2, [ROWS[0], {"q": "?"}])
    prompt = drawing(tmp_path, "random", 8)
    with pytest.raises(MigakiError, match="8 examples are asked for, and cats.jsonl has 7 beside the question itself"):
        render(prompt, {"q": "how many legs have 3 cats"})


def test_examples_lie_beside_their_prompt(tmp_path):
    (tmp_path / "secret.jsonl").write_text(json.dumps(ROWS[0]), encoding="utf-8")
    (tmp_path / "prompts").mkdir()
    drawing(tmp_path / "prompts", "random", 1)
    text = (tmp_path / "prompts" / "cats.en.yaml").read_text(encoding="utf-8")
    with pytest.raises(MigakiError, match=r"examples\.file = '\.\./secret\.jsonl' lies outside of the prompt's folder"):
        read_prompt(written(tmp_path / "prompts", text.replace("cats.jsonl", "../secret.jsonl"), "cats.en.yaml"))


@pytest.mark.parametrize("draw", ["random", "similar"])
def test_an_example_is_never_the_question_itself(tmp_path, draw):
    prompt = drawing(tmp_path, draw, 7)
    for row in ROWS:
        shown = drawn(prompt.examples, {"q": row["q"].upper()})
        assert row not in shown and len(shown) == 7


def test_random_examples_are_the_same_for_all_and_similar_ones_end_with_the_likest(tmp_path):
    random = drawing(tmp_path, "random", 3)
    drawn_for = [drawn(random.examples, {"q": asked}) for asked in ("What?", "Where?")]
    assert drawn_for[0] == drawn_for[1] and drawn_for[0] != ROWS[:3]
    similar = drawing(
        tmp_path, "similar", 2, [{"q": "ships at sea", "a": "1"}, {"q": "six red apples", "a": "2"}, {"q": "red apples", "a": "3"}]
    )
    assert [row["a"] for row in drawn(similar.examples, {"q": "How many red apples?"})] == ["2", "3"]
    assert render(similar, {"q": "red apple?"})[0]["content"].startswith("Q: six red apples A: 2\n\nQ: red apples A: 3\n\nQ: red apple?")


def test_a_version_is_what_a_prompt_holds(tmp_path):
    path = written(tmp_path, PLAIN)
    first = open_library(str(tmp_path)).versions["refund", "ja"]
    written(tmp_path, PLAIN.replace("kind:", "purpose: 返金\nkind:"))
    assert open_library(str(tmp_path)).versions["refund", "ja"] == first
    path.write_text(PLAIN.replace("質問", "お尋ね"), encoding="utf-8")
    assert open_library(str(tmp_path)).versions["refund", "ja"] != first
    one, other = drawing(tmp_path, "random", 2), drawing(tmp_path, "random", 2, ROWS[1:])
    assert one.content != other.content and "rows" not in one.content["examples"]


def test_a_teams_prompt_takes_the_place_of_a_bundled_one(tmp_path):
    written(tmp_path, PLAIN.replace("name: refund", "name: brief"))
    library = open_library(str(tmp_path))
    assert library.prompts["brief", "ja"].messages[0].content == "{context}\n質問: {question}"
    assert library.prompts["brief", "en"] == open_library().prompts["brief", "en"]
    written(tmp_path, PLAIN.replace("name: refund", "name: brief"), "twice.yaml")
    with pytest.raises(MigakiError, match=r"twice\.yaml: 'brief' in the language 'ja' is in refund\.ja\.yaml already"):
        open_library(str(tmp_path))
    with pytest.raises(MigakiError, match="no folder"):
        open_library(str(tmp_path / "none"))


def chain(folder: Path, name: str, takes: str, field: str = "context") -> None:
    text = PLAIN.replace("name: refund", f"name: {name}").replace("question, context", "question") + f"chain: {{{field}: {takes}}}\n"
    written(folder, text, f"{name}.yaml")


def test_a_chain_asks_its_prompts_in_order(tmp_path):
    chain(tmp_path, "outer", "inner")
    chain(tmp_path, "inner", "summarise")
    library = open_library(str(tmp_path))
    asked = []

    def ask(prompt, messages):
        asked.append((prompt.name, messages[-1]["content"].splitlines()[0]))
        return f"<{prompt.name}>"

    messages = library.asked(library.prompts["outer", "ja"], {"question": "何?", "text": "本文"}, ask)
    assert [name for name, _ in asked] == ["summarise", "inner"] and asked[1][1] == "<summarise>"
    assert messages[0]["content"] == "<inner>\n質問: 何?"
    with pytest.raises(MigakiError, match="has no field tone; its fields are question, text"):
        library.asked(library.prompts["outer", "ja"], {"question": "何?", "tone": "x"}, ask)
    before = library.versions["outer", "ja"]
    written(
        tmp_path,
        "\n".join(["name: summarise", "lang: ja", "kind: summarise", "fields: [text]", 'messages: [{role: user, content: "{text}"}]']),
        "s.yaml",
    )
    assert open_library(str(tmp_path)).versions["outer", "ja"] != before


def test_a_chain_in_a_circle_or_to_nowhere_is_refused_by_name(tmp_path):
    chain(tmp_path, "one", "two")
    with pytest.raises(MigakiError, match=r"one\.yaml: the chain of 'one' names 'two', and there is no such prompt in 'ja'"):
        open_library(str(tmp_path))
    chain(tmp_path, "two", "one")
    with pytest.raises(MigakiError, match=r"\.yaml: the chain runs in a circle: one -> two -> one"):
        open_library(str(tmp_path))


def test_output_and_reasoning_stand_behind_the_last_message():
    prompts = open_library().prompts
    judged = render(prompts["judge", "ja"], {"question": "q", "first": "a", "second": "b"})
    assert judged[0]["role"] == "system" and re.search(r"\n1\. .*\n2\. .*\n3\. 結論を出す。$", judged[1]["content"])
    said = render(prompts["classify", "en"], {"text": "t", "labels": "a, b"})[0]["content"]
    assert json.loads(said[said.index("{") :])["required"] == ["label"]
    zero = render(prompts["solve_number", "en"], {"question": "2 + 2?"}, [])[0]["content"]
    assert zero.endswith("without a unit.\n\nQuestion: 2 + 2?")
    one = render(prompts["solve_number", "en"], {"question": "2 + 2?"}, [{"question": "1 + 1?", "steps": "", "answer": "2"}])[0]["content"]
    assert one.endswith("unit.\n\nQuestion: 1 + 1?\nAnswer: 2\n\nQuestion: 2 + 2?")


def test_the_advice_is_the_textbooks_and_finds_its_bad_and_its_good_prompt():
    bad = Prompt(name="bad", lang="en", kind="summarise", messages=(Turn(role="user", content="Summarize this: {text}"),), fields=("text",))
    assert [one.principle for one in advise(bad)] == ["clear instruction", "format", "context", "limits", "example", "steps"]
    assert [one.kept for one in advise(bad)] == [True, False, False, False, False, False]
    prompts = open_library().prompts
    for lang in ("en", "ja"):
        kept = {one.principle for one in advise(prompts["summarise", lang]) if one.kept}
        assert {"clear instruction", "format", "limits"} <= kept
        assert {one.principle for one in advise(prompts["shown", lang]) if not one.kept} == {"steps"}


def test_a_releases_templates_are_prompts_by_name_or_file(tmp_path):
    both = read_templates(["brief"])
    assert sorted(both) == ["en", "ja"]
    assert template_of(both["ja"], "x").count("{context}") == 1
    few = template_of(read_templates(["shown"])["en"], "x")
    assert "four dollars a day.\n\nNotes:\n{context}\n\nQuestion: {question}" in few and "{examples}" not in few
    own = read_templates(["brief", str(written(tmp_path, PLAIN))])
    assert template_of(own["ja"], "x") == "{context}\n質問: {question}" and own["en"].name == "brief"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("summarise", r"chat\.templates: the prompt 'summarise' \(\w\w\) is of the kind 'summarise'"),
        ("digest", "takes the outputs of summarise: a release asks its model once"),
        ("nothing", "there is no prompt 'nothing'; there are brief, classify"),
    ],
)
def test_a_prompt_that_no_release_can_have_is_refused(name, complaint):
    with pytest.raises(MigakiError, match=complaint):
        read_templates([name])
