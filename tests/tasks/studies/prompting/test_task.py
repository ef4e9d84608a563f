"""The stage prompt_study on a tiny model: its rows, its page, its prompts, and what is in its key."""

import json

import pyarrow.parquet as pq
import pytest

from tasks.errors import MigakiError
from tasks.studies.prompting.fingerprint import questions_and_prompts, templates
from tasks.studies.prompting.settings import OwnPromptsSettings, PromptStudySettings, SolvingSettings

PROMPT = """name: solve_number
lang: ja
kind: solve
fields: [question]
messages: [{role: user, content: "{examples}\\n\\n問: {question}"}]
examples: {layout: "問: {question}\\n{steps}\\n答: {answer}"}
"""


@pytest.fixture
def file(tmp_path):
    rows = [
        {"question": f"りんごが{n}個、なしが1個あります。全部で何個ですか。", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1}"}
        for n in range(6)
    ]
    path = tmp_path / "apples.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


def settings(file, **more) -> SolvingSettings:
    return SolvingSettings(
        suite=str(file), methods=["zero", "few-cot:2", "self-consistency:2"], answer_tokens=3, reasoning_tokens=4, **more
    )


def test_every_way_is_asked_and_kept(training_project, file, tmp_path):
    made = training_project.run("prompt_study", settings(file))
    folder = training_project.folder(made)
    assert made.meta["arms"] == ["zero", "few-cot:2", "self-consistency:2"] and made.meta["items"] == 4 and made.meta["adopting"] == ""
    answers = pq.read_table(folder / "tables/study_answers.parquet").to_pylist()
    assert len(answers) == 12 and {row["lang"] for row in answers} == {"ja"}
    figures = {(row["arm"], row["measure"]) for row in pq.read_table(folder / "tables/studies.parquet").to_pylist()}
    assert figures >= {(arm, measure) for arm in made.meta["arms"] for measure in ("correct", "unparsed", "tokens", "reused", "seconds")}
    prompts = pq.read_table(folder / "tables/prompts.parquet").to_pylist()
    assert [json.loads(row["content"]).get("reasoning") for row in prompts] == [None, "step by step"]
    assert {row["name"] for row in prompts} == {"solve_number"} and len({row["version"] for row in prompts}) == 2
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "りんごが" in page and "100 billion" in page


def test_a_teams_prompt_asks_in_the_bundled_ones_place(training_project, file, tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "p.yaml").write_text(PROMPT, encoding="utf-8")
    made = training_project.run("prompt_study", settings(file, prompts=str(tmp_path / "prompts")))
    answers = pq.read_table(training_project.folder(made) / "tables/study_answers.parquet").to_pylist()
    asked = {row["arm"]: row["prompt"] for row in answers}
    assert asked["zero"].startswith("問: りんごが") and asked["few-cot:2"].count("\n答: ") == 2


def test_what_the_files_hold_is_in_the_key_and_where_they_lie_is_not(file, tmp_path):
    before = questions_and_prompts(settings(file))
    (tmp_path / "other").mkdir()
    moved = tmp_path / "other" / file.name
    moved.write_bytes(file.read_bytes())
    assert questions_and_prompts(settings(moved)) == before
    moved.write_text(file.read_text(encoding="utf-8").replace("なし", "柿"), encoding="utf-8")
    assert questions_and_prompts(settings(moved)) != before
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "p.yaml").write_text(PROMPT, encoding="utf-8")
    assert questions_and_prompts(settings(file, prompts=str(tmp_path / "prompts"))) != before
    assert list(templates(OwnPromptsSettings(templates=["brief"]))["prompts"]) == ["brief.en", "brief.ja"]
    assert {"suite", "benchmarks_dir", "prompts"} == PromptStudySettings.PATHS


def test_a_small_file_says_that_it_is_one(training_project, file):
    with pytest.raises(MigakiError, match="6 examples are asked for beside what is asked, and apples has 6 questions"):
        training_project.run("prompt_study", settings(file).model_copy(update={"methods": ["few:6"]}))
