"""The stage calibrate on a small index, and what opens an index with what it made."""

import json

import pytest

from flows.index import go_live
from flows.serving.live_index import LiveIndex, open_champion
from storage.artifacts import ArtifactStore
from storage.kinds import Calibration
from storage.registry import champion_index, register, set_champion_index
from tasks.calibration.settings import CalibrateSettings
from tasks.errors import MigakiError
from tasks.rag.confidence import BUNDLED, FEATURES

PLACES = ("garden", "harbour", "kitchen", "tower", "cellar", "meadow", "market", "attic")
場所 = ("庭", "港", "台所", "塔", "地下室", "牧場", "市場", "屋根裏")


@pytest.fixture
def project(served):
    """Eight documents a language, each with a question."""
    rows = []
    for number, (place, ja) in enumerate(zip(PLACES, 場所, strict=True)):
        (served.docs / f"en{number}.md").write_text(f"Animal {number} sleeps in the {place} at night.", encoding="utf-8")
        (served.docs / f"ja{number}.md").write_text(f"動物{number}は夜に{ja}で寝る。", encoding="utf-8")
        rows.append(
            {"question": f"Where does animal {number} sleep at night?", "answer": place, "accept": [place], "document": f"en{number}.md"}
        )
        rows.append({"question": f"動物{number}は夜どこで寝ますか?", "answer": ja, "accept": [ja], "document": f"ja{number}.md"})
    rows.append({"question": "Who wrote it?", "answer": "Nobody.", "document": "gone.md"})
    file = served.docs.parent / "questions.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    served.asked = served.dataset([str(served.docs)], [str(file)])
    return served


def calibrate(project, dataset) -> tuple:
    index = project.index()
    made = project.run("calibrate", CalibrateSettings(folds=4), index=index, dataset=dataset)
    register(project.home, made)
    return index, made, Calibration.of(made.meta)


def test_it_is_fitted_on_the_questions_of_each_language_and_serves_with_its_index(project):
    index, made, record = calibrate(project, project.asked)
    assert record.index == index.id and any("1 of 17 questions are about documents" in line for line in project.log)
    for lang in ("en", "ja"):
        own = record.languages[lang]
        assert (
            own.questions == 8
            and set(own.weights) == set(FEATURES)
            and own.weights != dict(zip(FEATURES, BUNDLED[lang].weights, strict=True))
        )
        assert own.before and own.after and own.after.right is not None and own.curve and own.curve[1][-1] == (1.0, 1.0)
        assert 0 < own.least <= own.sure < 1
    assert go_live(project.home, index, made.id, print) and champion_index(project.home).calibration_id == made.id
    serving = open_champion(project.home)
    assert serving.retriever.calibrations["en"].weights == tuple(record.languages["en"].weights[name] for name in FEATURES)
    assert serving.retriever.thresholds("Where?", 1.0).sure == pytest.approx(record.languages["en"].sure)


def test_without_questions_it_is_the_bundled_one(project):
    _, _, record = calibrate(project, project.nothing)
    for lang, own in record.languages.items():
        assert own.questions == 0 and own.after is None and tuple(own.weights.values()) == BUNDLED[lang].weights


def test_a_new_calibration_of_the_same_index_is_taken_up(project):
    index, made, _ = calibrate(project, project.asked)
    assert go_live(project.home, index, None, print)
    live = LiveIndex(project.home, every=0.0)
    set_champion_index(project.home, index.id, made.id)
    live.serving  # noqa: B018 looks, and lets a thread open it
    with live._lock:
        pass
    assert live.serving.calibration == made.id


@pytest.mark.parametrize("change", ["index", "signs", "gone"])
def test_one_of_another_index_or_version_or_that_is_gone_is_told(project, change):
    index, made, record = calibrate(project, project.asked)
    store = ArtifactStore(project.home)
    if change == "gone":
        store.discard("calibration", made.id)
    else:
        languages = record.meta()["languages"]
        if change == "signs":
            languages["en"]["weights"] = {"cosine": 1.0}
        meta = {"index": "f" * 64 if change == "index" else index.id, "languages": languages}
        with store.draft("calibration", "c" * 64) as folder:
            made = store.commit(folder, project.manifest("calibrate", CalibrateSettings(), {}) | {"meta": meta})
    set_champion_index(project.home, index.id, made.id)
    with pytest.raises(MigakiError, match="`migaki calibrate` makes"):
        open_champion(project.home)
