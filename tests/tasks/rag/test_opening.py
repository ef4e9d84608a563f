"""An index opens with the embedders that made it, and one of the former format goes on serving."""

import json
import shutil

import numpy as np
import pytest

from tasks.errors import MigakiError
from tasks.models.reference import ResolvedModel
from tasks.rag.checks import faults
from tasks.rag.embedding import Embedder
from tasks.rag.index_files import FACTS
from tasks.rag.opening import open_index
from tasks.rag.settings import IndexSettings
from tests.helpers.embedder_en import save_second_embedder
from tests.helpers.former_index import write_former
from tests.helpers.indexes import chunk, write

CHUNKS = [
    chunk("A cat sleeps in the garden. It wakes at night.", "cat.md", "Cats", chunk_id="a"),
    chunk("Stone and copper last for ages.", "stone.md", chunk_id="b", allowed=("board",)),
    chunk("猫は庭で寝る。犬は港へ走る。", "neko.md", "猫", chunk_id="c"),
]
SETTINGS = IndexSettings()


@pytest.fixture
def model(embedder_folder) -> ResolvedModel:
    return ResolvedModel(str(embedder_folder), embedder_folder, "sum")


@pytest.fixture
def second(embedder_folder, tmp_path) -> ResolvedModel:
    """An embedder of other weights."""
    folder = save_second_embedder(embedder_folder, tmp_path / "second")
    return ResolvedModel(str(folder), folder, "second")


def loaded(model: ResolvedModel, **more) -> Embedder:
    return Embedder(model.path, checksum=model.checksum, reference=model.reference, **more)


def test_an_index_of_the_former_format_opens_and_serves(tmp_path, model):
    embedder = loaded(model)
    write_former(tmp_path / "index", CHUNKS, embedder, SETTINGS)
    assert {path.name for path in (tmp_path / "index").iterdir()} == {
        *("dense.faiss", "chunks.parquet", "index.json", "bm25.npz", "sentences.npz", "documents.npz")
    }
    for companions in ({}, {"en": model}):  # a run may have one that the index never knew
        retriever = open_index(tmp_path / "index", model, companions)
        assert retriever.meaning.sentences is None and len(retriever.meaning.embedders) == 1
        for query in ("Where does the cat sleep?", "copper stone", "港へ走るのは?"):
            hits = retriever.search(query, 3, {"board"})
            whole = embedder.embed([{row["chunk_id"]: row for row in CHUNKS}[hit.chunk_id]["indexed"] for hit in hits])
            np.testing.assert_allclose([hit.dense for hit in hits], whole @ embedder.embed_queries([query])[0], atol=1e-5)
            assert [hit.sentence for hit in hits] == [hit.dense for hit in hits]
            assert all(rank.dense >= 1 for rank in retriever.ranks(query, hits, {"board"}))
        assert retriever.search("copper stone", 1, {"board"})[0].document == "stone.md"
        assert "stone.md" not in {hit.document for hit in retriever.search("copper stone", 3)}
        assert open_index(tmp_path / "index", model, loaded=[embedder]).embedder is embedder


def test_a_former_index_without_prefixes_of_a_model_that_has_them_by_name(tmp_path, embedder_folder):
    """Earlier versions embedded without; today the name says which there are."""
    folder = shutil.copytree(embedder_folder, tmp_path / "multilingual-e5-small")
    model = ResolvedModel(str(folder), folder, "sum")
    assert loaded(model).prompts.query == "query: "
    plain = loaded(model, query_prefix="", passage_prefix="")
    write_former(tmp_path / "index", CHUNKS, plain, SETTINGS)
    opened = open_index(tmp_path / "index", model)
    assert opened.embedder.fingerprint == plain.fingerprint and opened.search("cat", 1)[0].document == "cat.md"


def test_companions_are_taken_by_language_and_no_others(tmp_path, model, second):
    own, beside = loaded(model), loaded(second)
    write(tmp_path / "index", CHUNKS, own, {"en": beside}, SETTINGS)
    opened = open_index(tmp_path / "index", model, {"en": second})
    assert [embedder.fingerprint for embedder in opened.meaning.embedders] == [own.fingerprint, beside.fingerprint]
    again = open_index(tmp_path / "index", model, {"en": second}, loaded=[beside, own])
    assert again.meaning.embedders == [own, beside]  # not opened a second time, in whatever order they come
    hit = opened.search("Where does the cat sleep?", 1)[0]
    assert hit.dense == pytest.approx(
        beside.embed([CHUNKS[0]["indexed"]])[0] @ beside.embed_queries(["Where does the cat sleep?"])[0], abs=0.01
    )
    for companions, words in (({}, "run.embedder_en"), ({"en": model}, "run.embedder_en")):
        with pytest.raises(MigakiError, match=f"built with .*second.*another embedder than the one set \\({words}\\).*migaki index"):
            open_index(tmp_path / "index", model, companions)
    with pytest.raises(MigakiError, match=r"another embedder than the one set \(run.embedder\)"):
        open_index(tmp_path / "index", second, {"en": second})
    facts = json.loads((tmp_path / "index" / FACTS).read_text(encoding="utf-8"))
    facts["companions"]["en"]["fingerprint"] = "other"
    (tmp_path / "index" / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(MigakiError, match="built with the embedder 'other'"):
        open_index(tmp_path / "index", model, {"en": second})


@pytest.mark.parametrize("version", [2, 5])
def test_other_formats_are_refused(tmp_path, model, version):
    write(tmp_path / "index", CHUNKS, loaded(model), {}, SETTINGS)
    facts = json.loads((tmp_path / "index" / FACTS).read_text(encoding="utf-8"))
    (tmp_path / "index" / FACTS).write_text(json.dumps(facts | {"format": version}), encoding="utf-8")
    with pytest.raises(MigakiError, match=f"has format {version}, and this version of Migaki reads 3 and 4.*migaki index"):
        open_index(tmp_path / "index", model)


def test_prefixes_and_backend_come_from_the_index(tmp_path, model):
    made = loaded(model, backend="torch-bf16", query_prefix="ask: ", passage_prefix="read: ")
    write(tmp_path / "index", CHUNKS, made, {}, SETTINGS)
    opened = open_index(tmp_path / "index", model)
    assert (opened.embedder.backend, opened.embedder.prompts) == ("torch-bf16", made.prompts)
    assert opened.embedder.fingerprint == made.fingerprint


def with_tables(folder, rows) -> None:
    """What the stage writes for the catalog beside an index."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "tables").mkdir()
    columns = ("chunk_id", "document_id", "ordinal", "heading", "text", "tokens", "lang")
    pq.write_table(pa.Table.from_pylist([{name: row[name] for name in columns} for row in rows]), folder / "tables" / "chunks.parquet")
    pq.write_table(pa.Table.from_pylist([{"chunks": len(rows)}]), folder / "tables" / "documents.parquet")


FULL = [row | {"document_id": row["document"], "ordinal": 0, "tokens": len(row["indexed"])} for row in CHUNKS]


@pytest.fixture
def checked(tmp_path, model, second):
    """A folder of an index with a companion, and its faults as `--verify` finds them."""
    own, beside, folder = loaded(model), loaded(second), tmp_path / "index"
    write(folder, FULL, own, {"en": beside}, SETTINGS)
    with_tables(folder, FULL)
    return folder, lambda: faults(folder, open_index(folder, model, {"en": second}, loaded=[own, beside]))


def test_an_index_in_order_has_no_faults_in_either_format(tmp_path, checked, model):
    assert checked[1]() == []
    write_former(tmp_path / "former", FULL, loaded(model), SETTINGS)
    with_tables(tmp_path / "former", FULL)
    former = open_index(tmp_path / "former", model)
    assert faults(tmp_path / "former", former) == []


def changed(path, change) -> None:
    rows = np.load(path)
    np.save(path, change(rows))


def test_a_wrong_vector_of_a_sentence_is_found(checked):
    folder, found = checked

    def turned(codes):
        codes[1] = codes[1][::-1]
        return codes

    changed(folder / "sentences.npy", turned)
    assert found() == ["1 of 5 vectors of sentences are not those of their texts"]


def test_a_wrong_scale_is_found(checked):
    folder, found = checked
    changed(folder / "sentence_scales.npy", lambda scales: scales * np.array([1, 1, 3, 1, 1], np.float32))
    assert found() == ["1 of 5 vectors of sentences are not those of their texts"]


def test_wrong_vectors_of_a_companion_are_found(checked):
    import faiss

    folder, found = checked
    index = faiss.read_index(str(folder / "dense.en.faiss"))
    vectors = index.reconstruct_n(0, 2)
    vectors[1] = vectors[1][::-1]
    wrong = faiss.IndexFlatIP(16)
    wrong.add(vectors)
    faiss.write_index(wrong, str(folder / "dense.en.faiss"))
    assert found() == ["1 of 2 vectors of chunks in en are not those of their texts"]
    short = faiss.IndexFlatIP(16)
    short.add(vectors[:1])
    faiss.write_index(short, str(folder / "dense.en.faiss"))
    assert found() == ["FAISS of en holds 1 vectors for 2"]


def test_cut_files_are_found(checked):
    folder, found = checked
    whole = {name: np.load(folder / name) for name in ("sentences.npy", "sentence_scales.npy")}
    for name, words in (("sentences.npy", "the file of sentences"), ("sentence_scales.npy", "the file of their scales")):
        np.save(folder / name, whole[name][:-1])
        assert found() == [f"{words} holds 4 vectors for 5"]
        np.save(folder / name, whole[name])
    data = (folder / "sentences.npy").read_bytes()
    (folder / "sentences.npy").write_bytes(data[:-3])
    with pytest.raises(ValueError, match="mmap"):  # which opening the index that serves makes one message of
        found()
