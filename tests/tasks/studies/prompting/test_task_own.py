"""The prompt study on the team's own questions: the chatbot of a release with each template, on a tiny model."""

import json

import pytest

from storage.artifacts import ArtifactStore
from storage.kinds import Model
from tasks.calibration.settings import CalibrateSettings
from tasks.errors import MigakiError
from tasks.prompts.context import bundled_templates
from tasks.studies.prompting.settings import OwnPromptsSettings
from tests.helpers.models import save_tiny
from tests.helpers.releases import kept


@pytest.fixture
def project(served):
    """A home with an index, its calibration and a release of a tiny model; `inputs` makes the others of these questions."""
    with ArtifactStore(served.home).draft("model", "a" * 64) as folder:
        save_tiny(folder / Model(precision="fp32").model, hidden=64)
        facts = {"stage": "quantize", "run_id": "r", "settings": {}, "inputs": {}, "seconds": 0.0, "created": "2026-01-01T00:00:00"}
        model = ArtifactStore(served.home).commit(folder, facts | {"model": "x", "meta": Model(precision="fp32").meta()})
    chat = {"max_calls": 0, "max_new_tokens": 4, "safety": False, "cost_wrong": 0.0}
    release = kept(served.home, model.id, templates=bundled_templates(), chat=chat, answering={"en": "quote", "ja": "quote"})

    def inputs(*questions: dict) -> dict:
        file = served.docs.parent / "questions.jsonl"
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in questions), encoding="utf-8")
        dataset, index = served.dataset([str(served.docs)], [str(file)]), served.index()
        calibration = served.run("calibrate", CalibrateSettings(folds=2), index=index, dataset=dataset)
        return {"release": ArtifactStore(served.home).get(release), "index": index, "calibration": calibration, "dataset": dataset}

    served.inputs = inputs
    return served


@pytest.mark.slow
def test_each_template_is_asked_in_the_models_own_words(project):
    given = project.inputs(
        {"question": "Where does a cat sleep?", "answer": "In the garden.", "accept": ["garden"], "document": "cat.md"},
        {"question": "猫はどこで寝ますか?", "answer": "庭です。", "accept": ["庭"], "document": "neko.txt"},
    )
    made = project.run("own_prompts", OwnPromptsSettings(templates=["brief"]), **given)
    assert made.meta["arms"] == ["release", "brief"] and made.meta["items"] == 2
    rows = project.table(made, "study_answers")
    assert {(row["arm"], row["lang"]) for row in rows} == {(arm, lang) for arm in ("release", "brief") for lang in ("en", "ja")}
    assert all(json.loads(row["measures"])["tokens"] > 0 for row in rows)  # written, though the release quotes
    assert [(row["name"], row["lang"]) for row in project.table(made, "prompts")] == [("brief", "en"), ("brief", "ja")]


def test_questions_that_cannot_be_judged_are_none(project):
    given = project.inputs({"question": "Where does a cat sleep?", "answer": "In the garden.", "document": "cat.md"})
    with pytest.raises(MigakiError, match="no question of the dataset has `accept`"):
        project.run("own_prompts", OwnPromptsSettings(templates=["brief"]), **given)
