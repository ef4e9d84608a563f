"""Search finds by terms and by likeness, mixes them by language, and never returns what has nothing to do with the question."""

import json

import numpy as np
import pytest

from tasks.errors import MigakiError
from tasks.models.reference import ResolvedModel
from tasks.rag.embedding import Embedder
from tasks.rag.figures import document_rank, retrieval_figures
from tasks.rag.index_files import FACTS, EmbedderIdentity, Vectors, write_index
from tasks.rag.meaning import standardized
from tasks.rag.opening import open_index
from tasks.rag.retrieval import Retriever
from tasks.rag.sentence_vectors import quantized, unit
from tasks.rag.settings import IndexSettings
from tests.helpers.embedder import LIMIT
from tests.helpers.indexes import Characters, chunk, opened, write

TEXTS = {
    "cat.md": "A cat sleeps in the garden.",
    "dog.md": "A dog runs to the harbour.",
    "stone.md": "Stone and copper last for ages.",
    "neko.md": "猫は庭で寝る。",
    "inu.md": "犬は港へ走る。",
}


class Directions(Characters):
    """An embedder for which each text is a direction of its own; the question "like N" points to text N."""

    def __init__(self):
        super().__init__("wheel:some-embedder==1", len(TEXTS))

    def embed(self, texts: list[str]) -> np.ndarray:
        return np.array([[text == other for other in TEXTS.values()] for text in texts], np.float32)

    def embed_queries(self, texts: list[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), len(TEXTS)), dtype=np.float32)
        for row, text in enumerate(texts):
            if text.startswith("like "):
                vectors[row, int(text.split()[1])] = 1
        return vectors


def build(folder, **settings) -> Retriever:
    return opened(folder, [chunk(text, name) for name, text in TEXTS.items()], Directions(), **settings)


@pytest.mark.parametrize(
    ("query", "document"),
    [("Where does the cat sleep?", "cat.md"), ("copper", "stone.md"), ("猫はどこで寝る?", "neko.md"), ("港へ走るのは誰ですか", "inu.md")],
)
def test_terms_find_in_both_languages(tmp_path, query, document):
    hits = build(tmp_path).search(query)
    assert hits[0].document == document and hits[0].text == TEXTS[document] and hits[0].sparse > 0
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_without_a_term_a_chunk_is_found_where_it_is_no_more_unlike_than_the_mean(tmp_path):
    retriever = build(tmp_path / "trusted")
    assert {hit.document for hit in retriever.search("like 1 harbour")} == {"dog.md"}  # five were asked for, one has to do with it
    assert {hit.document for hit in retriever.search("like 1 copper")} == {"dog.md", "stone.md"}
    assert len(retriever.search("xylophone quantum")) == len(TEXTS)  # to which the embedder finds all equally (un)like
    assert retriever.search("  ") == []


def test_where_the_embedder_counts_little_no_hit_shares_nothing_with_the_question(tmp_path):
    retriever = build(tmp_path, dense_weight_en=0.4)
    assert retriever.search("xylophone quantum") == retriever.search("?!") == retriever.search("  ") == []
    assert {hit.document for hit in retriever.search("harbour")} == {"dog.md"}
    assert {hit.document for hit in retriever.search("like 2 harbour")} == {"dog.md"}


def test_likeness_alone_finds_where_the_embedder_is_trusted(tmp_path):
    assert [hit.document for hit in build(tmp_path).search("like 2")] == ["stone.md"]
    assert build(tmp_path, dense_weight_en=0.2).search("like 2") == []


def test_weight_decides_between_terms_and_likeness(tmp_path):
    assert build(tmp_path, dense_weight_en=0.9).search("like 2 cat")[0].document == "stone.md"
    assert build(tmp_path, dense_weight_en=0.1).search("like 2 cat")[0].document == "cat.md"


def test_search_of_many_is_search_of_each(tmp_path):
    retriever = build(tmp_path)
    queries = ["cat", "犬", "nothing", ""]
    assert retriever.search_all(queries, 2) == [retriever.search(query, 2) for query in queries]
    assert retriever.search_all([]) == []


def test_scores_do_not_depend_on_the_scale():
    values = np.array([0.0, 1.0, 5.0, 2.0], dtype=np.float32)
    np.testing.assert_allclose(standardized(values * 30 + 7), standardized(values), atol=1e-4)
    assert not standardized(np.full(4, 3.0)).any() and not standardized(np.zeros(0)).any()
    assert np.abs(standardized(np.array([0.7, 0.7 + 1e-7, 0.7]))).max() < 1e-3  # noise is not blown up


def test_another_embedder_is_refused(tmp_path):
    build(tmp_path)
    with pytest.raises(MigakiError, match=r"built with 'wheel:some-embedder==1', another embedder .*migaki index"):
        open_index(tmp_path, ResolvedModel("x", tmp_path, "other"))


def test_ranks_count_documents_and_not_chunks(tmp_path):
    hits = build(tmp_path).search("a cat and a dog, of stone", 5)
    order = [hit.document for hit in hits]
    assert [document_rank([hits[0], *hits], name) for name in order] == list(range(1, len(order) + 1))
    assert document_rank(hits, "gone.md") == 0


def test_figures():
    assert retrieval_figures([1, 2, 0, 10]) == {"hit@1": 0.25, "hit@5": 0.5, "mrr@10": pytest.approx((1 + 0.5 + 0.1) / 4)}
    assert retrieval_figures([]) == {"hit@1": 0, "hit@5": 0, "mrr@10": 0}


def test_embedding_depends_neither_on_order_nor_on_company(embedder):
    texts = ["a cat", "庭の猫は寝る。" * 6, "stone", "x", "a longer text about a dog, a harbour and copper"]
    vectors = embedder.embed(texts, batch_tokens=40)
    assert vectors.shape == (5, embedder.dimension) == (5, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embedder.embed(texts[::-1])[::-1], vectors, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([embedder.embed([text]) for text in texts]), vectors, atol=1e-5)
    assert embedder.embed([]).shape == (0, 16)


def test_batches_hold_no_more_tokens_than_asked(embedder):
    sizes = []
    embedder.embed(["a" * length for length in (3, 30, 8, 50, 20, 4)], batch_tokens=64, on_batch=sizes.append)
    assert sum(sizes) == 6 and sizes[0] == 1 and sizes[-1] > 1  # longest first


def test_tokens_are_counted_beyond_what_the_model_reads(embedder):
    assert embedder.limit == LIMIT
    assert embedder.count_tokens("a" * 500) == 500 and embedder.count_tokens("") == 0


def test_an_index_of_another_format_is_refused(tmp_path):
    build(tmp_path)
    facts = json.loads((tmp_path / FACTS).read_text(encoding="utf-8"))
    (tmp_path / FACTS).write_text(json.dumps({name: value for name, value in facts.items() if name != "format"}), encoding="utf-8")
    with pytest.raises(MigakiError, match=r"has format 1.*migaki index"):
        open_index(tmp_path, ResolvedModel("x", tmp_path, facts["embedder"]))


class Alike(Characters):
    """An embedder that knows no difference."""

    def _vectors(self, texts: list[str]) -> np.ndarray:
        return np.full((len(texts), 4), 0.5, np.float32)


def test_terms_in_one_sentence_and_a_document_about_them_come_first(tmp_path):
    """Of two chunks with the same terms, the one that says them in one sentence; of two like chunks, the one whose document goes on about them."""
    texts = [
        ("apart", "The harbour froze. Nobody sailed. A violin was sold there."),
        ("together", "The harbour violin was sold. Nobody sailed there. It froze."),
        ("lost", "A falcon."),
        ("devoted", "A falcon."),
        ("devoted", "The falcon returned and the falcon slept."),
    ]
    chunks = [chunk(text, document, chunk_id=str(i)) for i, (document, text) in enumerate(texts)]
    retriever = opened(tmp_path, chunks, Alike())
    assert [hit.document for hit in retriever.search("harbour violin", 2)] == ["together", "apart"]
    assert [hit.document for hit in retriever.search("falcon", 5) if hit.text == "A falcon."] == ["devoted", "lost"]


GROUPS = [(), ("sales",), ("board",), ("sales", "board")]
SUBJECTS = "falcon harbour lantern copper violin garden 猫 犬 石".split()


def library(count: int, seed: int = 0) -> list[dict]:
    """Chunks of documents with labels and metadata."""
    generator = np.random.default_rng(seed)
    chunks = []
    for i in range(count):
        words = [SUBJECTS[j] for j in generator.integers(0, len(SUBJECTS), 6)]
        text = f"The {words[0]} and the {words[1]} of {words[2]}. {words[3]}と{words[4]}の{words[5]}。"
        document = i // 2
        more = {"lang": "ja" if document % 3 else "en", "page": document % 2 + 1, "allowed": GROUPS[document % 4]}
        chunks.append(chunk(text, f"d{document}.md", words[0], chunk_id=f"c{i}", meta={"team": f"t{document % 5}"}, **more))
    return chunks


def own_scores(retriever: Retriever, query: str) -> np.ndarray:
    """(chunks,) what the meaning of all chunks says, in standard deviations."""
    return retriever.meaning.score(retriever.meaning.ask([query])[0], retriever.everything.numbers, retriever.everything).score


QUERIES = ["the falcon in the harbour", "猫の石はどこですか", "copper violin", "garden"]


@pytest.mark.parametrize(
    ("groups", "where"),
    [
        ((), {}),
        (("sales",), {}),
        (("board", "nobody"), {}),
        (("sales", "board"), {"lang": "ja"}),
        ((), {"team": ["t0", "t2"]}),
        (("sales",), {"document": ["d1.md", "d5.md", "d0.md"], "page": 1}),
    ],
)
def test_a_filtered_search_is_a_search_in_an_index_of_nothing_else(tmp_path, groups, where):
    """So neither order nor scores tell anything of what the asker may not see."""
    chunks = library(120)
    several = {name: [str(value)] if isinstance(value, str | int) else value for name, value in where.items()}
    seen = [
        i
        for i, chunk in enumerate(chunks)
        if (not chunk["allowed"] or set(chunk["allowed"]) & set(groups))
        and all(str((chunk | chunk["meta"])[name]) in values for name, values in several.items())
    ]
    assert 0 < len(seen) < len(chunks)
    whole = opened(tmp_path / "whole", chunks)
    alone = opened(tmp_path / "alone", [chunks[i] | {"allowed": ()} for i in seen])
    for query in QUERIES:
        found, wanted = whole.search(query, 8, groups, where), alone.search(query, 8)
        assert [hit.chunk_id for hit in found] == [hit.chunk_id for hit in wanted]
        for name in ("score", "sparse", "dense", "sentence"):
            np.testing.assert_allclose([getattr(h, name) for h in found], [getattr(h, name) for h in wanted], rtol=1e-4, atol=1e-4)
        like = {str(name) for name, score in zip(alone.chunks["chunk_id"], own_scores(alone, query), strict=True) if score >= -1e-3}
        assert all(hit.sparse > 0 or hit.chunk_id in like for hit in found)


def test_what_nobody_may_see_is_not_found_and_unknown_filters_find_nothing(tmp_path):
    retriever = opened(tmp_path / "index", library(40))
    assert retriever.groups == {"sales", "board"}
    assert {hit.document for hit in retriever.search("falcon harbour garden", 40)} <= {f"d{i}.md" for i in range(0, 20, 4)}
    assert retriever.search("falcon", where={"colour": "red"}) == retriever.search("falcon", where={"lang": []}) == []
    assert retriever.search("falcon", 1, {"board", "sales"})[0].page in (1, 2)


@pytest.mark.parametrize(("groups", "where"), [(("sales", "board"), {}), ((), {}), (("sales", "board"), {"lang": "ja"})])
def test_a_large_index_finds_what_a_scan_of_all_finds(tmp_path, groups, where):
    """Beyond `flat_up_to` dense search looks into some lists only and takes the scale of the cosines from a sample."""
    chunks = library(3000)
    flat, large = opened(tmp_path / "flat", chunks), opened(tmp_path / "large", chunks, flat_up_to=1000)
    assert (flat.facts["dense_type"], flat.facts["dense_recall"]) == ("flat", 1.0)
    assert large.facts["dense_type"] == "ivf" and large.facts["dense_recall"] >= 0.98 and large.facts["dense_probes"] >= 1
    same = 0
    for query in QUERIES:
        exact, found = flat.search(query, 5, groups, where), large.search(query, 5, groups, where)
        assert len(found) == 5 and all(hit.lang == where.get("lang", hit.lang) for hit in found)
        same += len({hit.chunk_id for hit in exact} & {hit.chunk_id for hit in found})
        np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in exact], atol=0.3)
    assert same >= 17


def test_a_gpu_is_used_where_there_is_one(monkeypatch):
    import faiss

    from tasks.rag import dense

    moved = []
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_all_gpus", lambda index, ngpu: moved.append(index) or index, raising=False)
    vectors = Characters().embed([row["text"] for row in library(400)])
    index, _ = dense.build_dense(vectors, 100)
    assert moved == [index] and dense.has_gpu()
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    assert dense.on_gpu(index) is index and len(moved) == 1


def test_an_embedder_used_in_another_way_is_refused(tmp_path, embedder_folder):
    model, embedder, index = ResolvedModel("m", embedder_folder, "sum"), Embedder(embedder_folder, checksum="sum"), tmp_path / "index"
    write(index, [chunk("x", "d")], embedder, {}, IndexSettings())
    assert open_index(index, model).search("x")[0].document == "d"
    other = Embedder(embedder_folder, checksum="sum", query_prefix="ask: ")
    assert open_index(index, model, loaded=[other, embedder]).embedder is embedder
    facts = json.loads((index / FACTS).read_text(encoding="utf-8"))
    (index / FACTS).write_text(json.dumps(facts | {"fingerprint": "with another limit"}), encoding="utf-8")
    with pytest.raises(MigakiError, match="built with the embedder 'with another limit'.*build it anew with `migaki index`"):
        open_index(index, model)


@pytest.mark.parametrize("flat_up_to", [10**6, 10])
def test_ranks_are_those_of_each_side_alone(tmp_path, flat_up_to):
    """Also where inverted lists work out the cosines of the nearest alone."""
    codes = quantized(np.random.default_rng(0).standard_normal((300, 5)))
    vectors = unit(codes)  # of one sentence each, so the chunk is as like the question as its best sentence is
    texts = ["cat " * (i % 7) + "dog stone" for i in range(300)]
    chunks = [chunk(text, f"d{i // 3}", chunk_id=f"c{i}", lang="en" if i % 2 else "ja") for i, text in enumerate(texts)]
    settings = IndexSettings(flat_up_to=flat_up_to, dense_weight_en=0.9)
    write_index(tmp_path, chunks, Vectors(vectors, codes), settings, EmbedderIdentity("checksum", "wheel:some-embedder==1"))
    retriever = Retriever(tmp_path, Directions())
    assert retriever.meaning.flat == (flat_up_to > 300)
    for where in ({}, {"lang": "en"}):
        seen = [i for i in range(300) if not where or i % 2]
        hits = retriever.search("like 2 cat", 40, where=where)
        ranks = retriever.ranks("like 2 cat", hits, where=where)
        assert retriever.size(where=where) == (len({i // 3 for i in seen}), len(seen)) and len(hits) == 40
        assert {rank.sparse is None for rank in ranks} == {True, False}
        for hit, rank in zip(hits, ranks, strict=True):
            above = sum(vectors[i, 2] > vectors[int(hit.chunk_id[1:]), 2] for i in seen)
            assert rank.dense == above + 1 and (rank.sparse is None) == (hit.sparse == 0)
        order = sorted((rank.sparse, -hit.sparse) for hit, rank in zip(hits, ranks, strict=True) if rank.sparse)
        assert [score for _, score in order] == sorted(score for _, score in order)
    assert retriever.ranks("like 2 cat", []) == []
    rest = {"document": [f"d{i}" for i in range(100) if i not in (3, 57)]}
    left = retriever.without(["d3", "d57", "none"])
    assert left.search("like 2 cat", 40) == retriever.search("like 2 cat", 40, where=rest) != retriever.search("like 2 cat", 40)
    assert left.search("like 2 cat", 5, where={"lang": "en"}) == retriever.search("like 2 cat", 5, where=rest | {"lang": "en"})
    assert left.size() == retriever.size(where=rest) == (98, 294) and len(left.without(rest["document"]).search("cat")) == 0
    best = retriever.search("cat", 300)
    assert min(rank.sparse for rank in retriever.ranks("cat", best) if rank.sparse) == 1


def test_sentences_come_with_their_cosines(tmp_path):
    retriever = build(tmp_path)
    hits = retriever.search("cat", 2)
    found = retriever.sentences("cat", [*(hit.chunk_id for hit in hits), "gone"])
    assert list(found) == [hit.chunk_id for hit in hits]
    for hit in hits:
        texts, cosines = zip(*found[hit.chunk_id], strict=True)
        assert all(text in hit.text for text in texts) and max(cosines) == pytest.approx(hit.sentence, abs=1e-5)
