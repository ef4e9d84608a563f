"""Retrieval quality of the index's own code on question sets whose right paragraph is known, and on Cranfield, whose documents are graded.

    python benchmarks/retrieval.py SETS [--cranfield FOLDER] [--set xquad_en] [--limit 300] [--dense-en 0.65] [--dense-ja 0.6] [--backend onnx-int8]

SETS has one folder per set with corpus.jsonl ({"id", "text"}) and questions.jsonl ({"question", "id"}); FOLDER has cran.all.1400, cran.qry and
cranqrel. Prints one JSON line per set: questions, chunks, seconds to build, hit@1, hit@5, MRR@10 (Cranfield: nDCG@10), milliseconds per
question (median of the first hundred, one by one).
Vectors of texts and questions are kept below MIGAKI_HOME, so that another weight is tried in seconds; `build_s` then counts no embedding.
"""

import argparse
import hashlib
import json
import math
import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows.running.parameters import BUNDLED_EMBEDDER, RunSettings
from storage.home import Home
from tasks.documents.parsed import Parsed, Section
from tasks.models.reference import resolve
from tasks.rag.chunking import chunk_documents
from tasks.rag.embedding import Embedder
from tasks.rag.figures import document_rank, retrieval_figures
from tasks.rag.incremental import Cut
from tasks.rag.index_files import write_index
from tasks.rag.retrieval import Hit, Retriever
from tasks.rag.sentence_vectors import quantized
from tasks.rag.settings import IndexSettings
from tasks.rag.vectors import identity, vectors_of

Rows = list[dict[str, Any]]
SHOWN = 20  # hits asked for: ten documents, if two chunks of each are found


class CachedEmbedder(Embedder):
    """Remembers on disk what it embedded."""

    def __init__(self, path: Path, cache: Path, backend: str = "torch", reference: str = ""):
        super().__init__(path, backend=backend, reference=reference)
        self.store = cache

    def _embed(self, texts: list[str], prefix: str, *args: Any) -> np.ndarray:
        if len(texts) == 1:
            return super()._embed(texts, prefix, *args)
        file = self.store / f"{self.fingerprint[:16]}-{hashlib.sha256(json.dumps([prefix, texts]).encode()).hexdigest()}.npy"
        if not file.exists():
            self.store.mkdir(parents=True, exist_ok=True)
            np.save(file, super()._embed(texts, prefix, *args))
        return np.load(file)


def bundled_embedder(reference: str, backend: str = "torch") -> CachedEmbedder:
    """The embedder of a reference, with its memory below MIGAKI_HOME."""
    home = Home.current()
    return CachedEmbedder(resolve(reference, home).path, home.root / "benchmarks", backend, reference)


def read(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@dataclass(frozen=True)
class Embedders:
    """The index's own embedder, and by language those that read it better."""

    own: CachedEmbedder
    companions: dict[str, CachedEmbedder]


def bundled_embedders(reference: str = BUNDLED_EMBEDDER, backend: str = "auto", second: str = "auto") -> Embedders:
    """As a run has them with these settings."""
    other = RunSettings(embedder=reference, embedder_en=second).second_embedder
    return Embedders(bundled_embedder(reference, backend), {"en": bundled_embedder(other, backend)} if other else {})


def cut(corpus: Rows, embedder: Embedder, settings: IndexSettings) -> Rows:
    """The chunks of the texts, as the stage makes them of documents without a title."""
    documents = [(row["id"], Parsed("", [Section("", [row["text"]])])) for row in corpus]
    return cut_documents(documents, embedder, settings)


def cut_documents(documents: list[tuple[str, Parsed]], embedder: Embedder, settings: IndexSettings) -> Rows:
    """The chunks of documents by name, as the stage makes them."""
    chunked = chunk_documents([parsed for _, parsed in documents], settings.chunk_tokens, settings.overlap_sentences, embedder.count_all)
    return [
        row | {"chunk_id": f"{name}.{ordinal}", "ordinal": ordinal, "document": name, "title": parsed.title}
        for (name, parsed), parts in zip(documents, chunked, strict=True)
        for ordinal, row in enumerate(Cut.of(parts, embedder.count_all).rows)
    ]


def write(folder: Path, chunks: Rows, embedders: Embedders, settings: IndexSettings) -> None:
    """Write the index of chunks."""

    def embed(embedder: Embedder, texts: list[str]) -> np.ndarray:
        return quantized(embedder.embed(texts, settings.batch_tokens))

    vectors = vectors_of(chunks, embedders.own, embedders.companions, embed)
    write_index(folder, chunks, vectors, settings, identity(embedders.own))


def build(folder: Path, corpus: Rows, embedders: Embedders, settings: IndexSettings) -> int:
    """Write the index of the texts; the number of its chunks."""
    chunks = cut(corpus, embedders.own, settings)
    write(folder, chunks, embedders, settings)
    return len(chunks)


def opened(folder: Path, embedders: Embedders) -> Retriever:
    return Retriever(folder, embedders.own, embedders.companions)


def ask(corpus: Rows, questions: list[str], embedders: Embedders, settings: IndexSettings) -> tuple[list[list[Hit]], dict[str, Any]]:
    """The hits of each question, and what building and asking took."""
    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        chunks = build(Path(place), corpus, embedders, settings)
        seconds = time.perf_counter() - start
        retriever = opened(Path(place), embedders)
        hits = retriever.search_all(questions, SHOWN)
        times = []
        for question in questions[:100]:
            start = time.perf_counter()
            retriever.search(question)
            times.append(1000 * (time.perf_counter() - start))
    about = {"questions": len(questions), "chunks": chunks, "build_s": round(seconds, 1), "query_ms": round(statistics.median(times), 2)}
    return hits, about


def measure(folder: Path, limit: int, embedders: Embedders, settings: IndexSettings) -> dict[str, Any]:
    """The line of one set."""
    questions = read(folder / "questions.jsonl")[: limit or None]
    hits, about = ask(read(folder / "corpus.jsonl"), [row["question"] for row in questions], embedders, settings)
    figures = retrieval_figures([document_rank(found, row["id"]) for found, row in zip(hits, questions, strict=True)])
    return {"set": folder.name} | about | {name: round(value, 4) for name, value in figures.items()}


def cranfield(folder: Path, embedders: Embedders, settings: IndexSettings) -> dict[str, Any]:
    """The line of Cranfield. Grades run from 1 (answers it all) to 4 (of some interest): gains are 4 to 1."""
    corpus = [{"id": number, "text": text} for number, text in _entries(folder / "cran.all.1400") if text]
    asked = [text for _, text in _entries(folder / "cran.qry")]  # the judgements count the questions from 1, whatever they are numbered
    gains: dict[int, dict[str, int]] = {}
    for line in (folder / "cranqrel").read_text(encoding="ascii").splitlines():
        question, document, grade = line.split()
        gains.setdefault(int(question) - 1, {})[document] = 5 - int(grade) if int(grade) in range(1, 5) else 0
    hits, about = ask(corpus, asked, embedders, settings)
    values = [ndcg([gains[i].get(name, 0) for name in dict.fromkeys(hit.document for hit in hits[i])], gains[i].values()) for i in gains]
    return {"set": "cranfield"} | about | {"ndcg@10": round(statistics.mean(values), 4)}


def _entries(path: Path) -> list[tuple[str, str]]:
    """(number, text) of the entries of a Cranfield file."""
    parts = re.split(r"^\.I (\d+)\n", path.read_text(encoding="latin-1"), flags=re.MULTILINE)[1:]
    return [(number, " ".join(f"\n{entry}".partition("\n.W\n")[2].split())) for number, entry in zip(parts[::2], parts[1::2], strict=True)]


def ndcg(found: list[int], possible: Any, k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first k (Jarvelin & Kekalainen 2002), linear in the gains."""
    ideal = _dcg(sorted(possible, reverse=True)[:k])
    return _dcg(found[:k]) / ideal if ideal else 0.0


def _dcg(gains: list[int]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("sets", type=Path)
    arguments.add_argument("--cranfield", type=Path, help="folder of the Cranfield collection")
    arguments.add_argument("--embedder", default=BUNDLED_EMBEDDER)
    arguments.add_argument("--embedder-en", default="auto", help="run.embedder_en")
    arguments.add_argument("--backend", default="auto")
    arguments.add_argument("--set", action="append", help="only this set (may be given again)")
    arguments.add_argument("--limit", type=int, default=0, help="ask only so many questions; 0 asks all")
    arguments.add_argument("--dense-en", type=float, help="share of dense search; none said takes the embedder's")
    arguments.add_argument("--dense-ja", type=float)
    given = arguments.parse_args()
    embedders = bundled_embedders(given.embedder, given.backend, given.embedder_en)
    settings = IndexSettings(dense_weight_en=given.dense_en, dense_weight_ja=given.dense_ja)
    for name in given.set or sorted(path.name for path in given.sets.iterdir()):
        print(json.dumps(measure(given.sets / name, given.limit, embedders, settings)), flush=True)
    if given.cranfield:
        print(json.dumps(cranfield(given.cranfield, embedders, settings)), flush=True)


if __name__ == "__main__":
    main()
