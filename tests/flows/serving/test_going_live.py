"""Whether a new index takes the place of the one that serves."""

import json

import pytest

from flows.index import go_live
from flows.serving.wanted import wanted
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.registry import champion_index, register
from storage.releases import champion_release
from tasks.errors import MigakiError
from tasks.rag.settings import IndexSettings
from tests.helpers.models import save_tiny
from tests.helpers.project import SETTINGS


def about(served, *questions) -> ArtifactRef:
    """An index of the documents as they are, asked these (question, document)."""
    file = served.docs.parent / "questions.jsonl"
    file.write_text(
        "\n".join(json.dumps({"question": text, "answer": "?", "document": name}) for text, name in questions), encoding="utf-8"
    )
    index = served.run(
        "index", IndexSettings(documents=[str(served.docs)], **SETTINGS), dataset=served.dataset([str(served.docs)], [str(file)])
    )
    register(served.home, index)
    return index


def worse(index: ArtifactRef) -> ArtifactRef:
    """As if it had been found worse."""
    return index.model_copy(update={"meta": index.meta | {"hit_at_5": 0.0}})


CAT = ("Where does the cat sleep?", "cat.md")


@pytest.fixture
def champion(served):
    first = about(served, CAT)
    assert first.meta["hit_at_5"] == 1.0 and go_live(served.home, first, None, print)
    return first


def test_one_that_finds_less_does_not_serve_and_says_how_it_would(served, champion, monkeypatch):
    lines: list[str] = []
    told: list[tuple] = []
    monkeypatch.setattr("flows.index.emit", lambda home, *event: told.append(event))
    second = about(served, CAT)
    assert not go_live(served.home, worse(second), None, lines.append) and champion_index(served.home).artifact_id == champion.id
    said = "\n".join(lines)
    assert "DOES NOT SERVE" in said and "--serve-anyway" in said and "for 1.000" in said
    assert go_live(served.home, worse(second), None, lines.append, anyway=True) and champion_index(served.home).artifact_id == second.id
    facts = {"hit_at_5": 0.0, "hit_at_5_before": 1.0, "index_before": champion.id}
    [refused, live] = told
    assert refused[:3] == ("migaki.index.refused", "index", second.id) and refused[3].pop("reason") in said and refused[3] == facts
    assert live == ("migaki.index.live", "index", second.id, facts | {"calibration": None})


def test_own_documents_go_live_though_the_stored_questions_are_about_others(served, champion):
    (served.docs / "cat.md").unlink()
    (served.docs / "falcon.md").write_text("The falcon is back.", encoding="utf-8")
    own = about(served, CAT)
    assert "hit_at_5" not in own.meta and go_live(served.home, own, None, print) and champion_index(served.home).artifact_id == own.id


def test_documents_alone_are_enough_for_the_base_model_to_answer(served, tmp_path):
    base = save_tiny(tmp_path / "base")
    said = {"run": {"model": str(base)}}
    with pytest.raises(MigakiError, match="migaki index --documents"):
        wanted(served.home, None, said)
    served.serve()
    want = wanted(served.home, None, said)
    assert want.unreleased == "unreleased: the base model, until a release is promoted" and not want.fixed and want.release_id == ""
    assert champion_release(served.home) is None
    folder = ArtifactStore(served.home).path(ArtifactStore(served.home).get(want.release.model)) / "model"
    assert (folder / "config.json").read_bytes() == (base / "config.json").read_bytes()
    assert wanted(served.home, None, said).release == want.release  # made once
    warmer = wanted(served.home, None, said | {"chat": {"temperature": 1}})
    assert warmer.unreleased == f"{want.unreleased}, chat.temperature = 1.0"
