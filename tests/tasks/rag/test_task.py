"""The stage index: every document is indexed or skipped with a reason, and what it wrote opens and answers."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from flows.catalogue.stages import STAGES
from storage.artifacts import ArtifactStore
from tasks.errors import MigakiError
from tasks.rag.embedders import Prompts
from tasks.rag.embedding import Embedder
from tasks.rag.opening import open_index
from tasks.rag.sentence_vectors import sentence_texts
from tasks.rag.settings import IndexSettings
from tasks.stages.keys import Ingredients
from tests.helpers.embedder import LIMIT
from tests.helpers.project import SETTINGS, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def folder(tmp_path) -> Path:
    docs = tmp_path / "docs"
    (docs / "ja").mkdir(parents=True)
    (docs / "cat.md").write_text("# Cats\n\nA cat sleeps in the garden. It wakes at night.\n\n## Food\n\nIt eats fish.", encoding="utf-8")
    (docs / "ja/inu.txt").write_text("犬は港へ走る。\n\n" + "石の庭に灯がともる。" * 30, encoding="utf-8")
    (docs / "page.html").write_text("<title>Copper</title><p>Copper lasts for ages.</p>", encoding="utf-8")
    return docs


def test_an_int8_embedder_is_made_in_the_home_and_its_loss_is_a_figure_of_the_index(project, folder):
    index = project.run("index", IndexSettings(**SETTINGS, embedder_backend="onnx-int8"), dataset=project.dataset([str(folder)]))
    figures = {row["name"]: row["value"] for row in project.table(index, "metrics")}
    assert all(0.5 < figures[f"index.cosine.{what}.{lang}"] <= 1 for what in ("mean", "min") for lang in ("en", "ja"))
    assert list(project.home.exports.rglob("model.onnx")) and not list(project.embedder.path.parent.glob("onnx-int8"))
    path = ArtifactStore(project.home).path(index)
    found = open_index(path, project.embedder, exports=project.home.exports).search("犬は港へ", 3)
    assert found and not list(project.embedder.path.parent.glob("onnx-int8"))


def test_prefixes_are_kept_with_the_index_and_questions_are_no_passages(project, folder):
    (folder / "two.md").write_text("# A cat\n\nIt is. It sleeps.", encoding="utf-8")
    settings = IndexSettings(**SETTINGS | {"chunk_tokens": 40}, query_prefix="ask: ", passage_prefix="read: ", embedder_backend="torch")
    place = ArtifactStore(project.home).path(project.run("index", settings, dataset=project.dataset([str(folder)])))
    opened = open_index(place, project.embedder)
    assert opened.embedder.prompts == Prompts("ask: ", "read: ")
    plain = Embedder(project.embedder.path)
    number = opened.chunks["document"].to_pylist().index("two.md")
    kept = opened.chunks.take([number]).to_pylist()[0]
    sentences = sentence_texts(kept["text"], kept["places"])
    assert sentences == ["It is.", "It sleeps."]
    expected = plain.embed([f"read: {sentence}" for sentence in sentences])
    np.testing.assert_allclose(
        opened.meaning.sentences.vectors(opened.meaning.sentences.rows(np.array([number]))[0]), expected, atol=0.01
    )  # int8
    mean = np.sqrt([len(sentence) for sentence in sentences]) @ expected
    mean = mean / np.linalg.norm(mean) + 0.5 * plain.embed([f"read: {kept['heading']}"])[0]
    np.testing.assert_allclose(opened.meaning.dense.vectors(np.array([number]))[0], mean / np.linalg.norm(mean), atol=0.01)
    question = plain.embed(["ask: Where does a cat sleep?"])[0]
    hit = next(hit for hit in opened.search("Where does a cat sleep?") if hit.chunk_id == kept["chunk_id"])
    assert hit.dense == hit.sentence == pytest.approx((expected @ question).max(), abs=0.01)


def test_every_document_is_indexed_or_skipped_with_a_reason(project, folder):
    (folder / "empty.md").write_text("", encoding="utf-8")
    (folder / "picture.md").write_bytes(random.Random(0).randbytes(5000))
    (folder / "photo.jpg").write_bytes(b"\xff\xd8")
    (folder / "blank.html").write_text("<p> </p>", encoding="utf-8")
    (folder / "sjis.txt").write_bytes("銅の琴が冬の庭で鳴る。とても静かな夜です。".encode("shift_jis"))
    (folder / "line.txt").write_text("x" * 200_000, encoding="utf-8")
    index = project.run("index", IndexSettings(**SETTINGS | {"chunk_tokens": 62}), dataset=project.dataset([str(folder)]))
    documents = {row["path"]: row for row in project.table(index, "documents")}
    skipped = {path: row["reason"] for path, row in documents.items() if row["status"] == "skipped"}
    assert set(documents) == {
        "cat.md",
        "ja/inu.txt",
        "page.html",
        "empty.md",
        "picture.md",
        "photo.jpg",
        "blank.html",
        "sjis.txt",
        "line.txt",
    }
    assert set(skipped) == {"empty.md", "picture.md", "photo.jpg", "blank.html"}
    assert (
        "empty" in skipped["empty.md"]
        and "binary" in skipped["picture.md"]
        and "not read" in skipped["photo.jpg"]
        and "no text" in skipped["blank.html"]
    )
    assert (
        sum(len(row["text"]) for row in project.table(index, "chunks") if row["document_id"] == documents["line.txt"]["document_id"])
        == 200_000
    )
    assert index.meta["skipped"] == 4 and index.meta["documents"] == 5
    assert project.open(index).search("銅の琴")[0].document == "sjis.txt"
    assert any("empty.md was skipped" in line for line in project.log)


def test_a_log_that_others_read_names_no_document(project, folder, monkeypatch):
    monkeypatch.setattr(project.context, "names", False)
    before = len(project.log)
    (folder / "解雇の予定.md").write_text("", encoding="utf-8")
    project.run("index", IndexSettings(**SETTINGS), dataset=project.dataset([str(folder)]))
    assert any("1 were skipped" in line for line in project.log[before:]) and not any("解雇" in line for line in project.log[before:])
    for path in folder.rglob("*.*"):
        path.write_text("", encoding="utf-8")
    with pytest.raises(MigakiError, match="no document could be indexed") as refusal:
        project.run("index", IndexSettings(**SETTINGS), dataset=project.dataset([str(folder)]))
    assert "解雇" not in str(refusal.value) and "cat" not in str(refusal.value)


def test_chunks_fit_the_embedder_and_lose_nothing(project, folder):
    index = project.run(
        "index", IndexSettings(**SETTINGS, dense_weight_en=0), dataset=project.dataset([str(folder)])
    )  # to a random embedder all is alike
    chunks = project.table(index, "chunks")
    assert all(row["tokens"] <= LIMIT - 2 for row in chunks)
    japanese = [row["text"] for row in chunks if row["lang"] == "ja"]
    assert len(japanese) > 2 and all(text.endswith("。") for text in japanese)
    retriever = project.open(index)
    assert retriever.search("fish")[0].heading == "Cats > Food"
    assert [hit.document for hit in retriever.search("copper")] == ["page.html"]
    assert len({row["chunk_id"] for row in chunks}) == len(chunks)


def test_stored_questions_are_the_smoke_check(project, folder, tmp_path):
    rows = [
        {"question": "Where does the cat sleep?", "answer": "in the garden", "document": "cat.md"},
        {"question": "犬はどこへ走る?", "answer": "港", "document": "ja/inu.txt"},
    ]
    questions = tmp_path / "q.jsonl"
    questions.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    index = project.run("index", IndexSettings(**SETTINGS), dataset=project.dataset([str(folder)], [str(questions)]))
    assert index.meta["hit_at_1"] == 1.0
    assert project.table(index, "indexes")[0]["hit_at_5"] == 1.0


def test_documents_named_for_the_index_take_the_place_of_the_datasets(project, folder, tmp_path):
    dataset = project.dataset([str(folder)])
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "falcon.md").write_text("The falcon is back.", encoding="utf-8")
    index = project.run("index", IndexSettings(**SETTINGS, documents=[str(newer)]), dataset=dataset)
    assert [row["path"] for row in project.table(index, "documents")] == ["falcon.md"]
    settings = IndexSettings(documents=[str(newer)])
    before = Ingredients.of(STAGES["index"], settings, {}, {}).key
    (newer / "falcon.md").write_text("The falcon left.", encoding="utf-8")
    assert Ingredients.of(STAGES["index"], settings, {}, {}).key != before


def test_chunk_longer_than_the_embedder_reads_is_refused(project, folder):
    with pytest.raises(MigakiError, match=rf"index.chunk_tokens = {LIMIT}, but .* reads {LIMIT - 2} tokens at most"):
        project.run("index", IndexSettings(chunk_tokens=LIMIT), dataset=project.dataset([str(folder)]))


def test_nothing_to_index_says_why(project, tmp_path):
    with pytest.raises(MigakiError, match="the dataset has none"):
        project.run("index", IndexSettings(**SETTINGS), dataset=project.dataset([]))
    (tmp_path / "empty.md").write_text("", encoding="utf-8")
    with pytest.raises(MigakiError, match=r"empty\.md: the file is empty"):
        project.run("index", IndexSettings(**SETTINGS), dataset=project.dataset([str(tmp_path / "empty.md")]))


def test_index_without_a_dataset_names_the_command(project):
    with pytest.raises(MigakiError, match="run `migaki prepare` first"):
        project.run("index", IndexSettings(**SETTINGS))


def test_questions_about_documents_that_are_not_in_the_index_say_nothing_of_it(project, folder, tmp_path):
    rows = [
        {"question": "Where does the cat sleep?", "answer": "in the garden", "document": "cat.md"},
        {"question": "Who keeps the keys?", "answer": "Ann", "document": "of-another-project.md"},
    ]
    questions = tmp_path / "q.jsonl"
    questions.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    index = project.run("index", IndexSettings(**SETTINGS), dataset=project.dataset([str(folder)], [str(questions)]))
    assert index.meta["hit_at_5"] == 1.0
    questions.write_text(json.dumps(rows[1]), encoding="utf-8")
    index = project.run("index", IndexSettings(**SETTINGS), dataset=project.dataset([str(folder)], [str(questions)]))
    assert "hit_at_5" not in index.meta
