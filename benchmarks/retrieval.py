"""Retrieval quality of the index's own code on question sets whose right paragraph is known, and on Cranfield, whose documents are graded.

    python benchmarks/retrieval.py SETS [--cranfield FOLDER] [--set xquad_en] [--limit 300] [--dense-en 0.5] [--dense-ja 0.1] [--backend onnx-int8]

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
from pathlib import Path
from typing import Any

import numpy as np

from flows.running.parameters import BUNDLED_EMBEDDER
from storage.home import Home
from tasks.documents.parsed import Parsed, Section
from tasks.models.reference import resolve
from tasks.rag.chunking import chunk_documents
from tasks.rag.embedding import Embedder
from tasks.rag.index_files import EmbedderIdentity, write_index
from tasks.rag.retrieval import Hit, Retriever, document_rank, retrieval_figures
from tasks.rag.settings import IndexSettings

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


def cut(corpus: Rows, embedder: Embedder, settings: IndexSettings) -> Rows:
    """The chunks of the texts, as the stage makes them of documents without a title."""
    documents = [Parsed("", [Section("", [row["text"]])]) for row in corpus]
    chunked = chunk_documents(documents, settings.chunk_tokens, settings.overlap_sentences, embedder.count_all)
    return [
        {
            "chunk_id": f"{row['id']}.{part.ordinal}",
            "document": row["id"],
            "title": "",
            "heading": "",
            "text": part.text,
            "indexed": part.indexed,
            "lang": part.lang,
        }
        for row, parts in zip(corpus, chunked, strict=True)
        for part in parts
    ]


def build(folder: Path, corpus: Rows, embedder: Embedder, settings: IndexSettings) -> int:
    """Write the index of the texts; the number of its chunks."""
    chunks = cut(corpus, embedder, settings)
    vectors = embedder.embed([row["indexed"] for row in chunks], settings.batch_tokens)
    write_index(folder, chunks, vectors, settings, EmbedderIdentity("", ""))
    return len(chunks)


def ask(corpus: Rows, questions: list[str], embedder: Embedder, settings: IndexSettings) -> tuple[list[list[Hit]], dict[str, Any]]:
    """The hits of each question, and what building and asking took."""
    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        chunks = build(Path(place), corpus, embedder, settings)
        seconds = time.perf_counter() - start
        retriever = Retriever(Path(place), embedder)
        hits = retriever.search_all(questions, SHOWN, vectors=embedder.embed_queries(questions))
        times = []
        for question in questions[:100]:
            start = time.perf_counter()
            retriever.search(question)
            times.append(1000 * (time.perf_counter() - start))
    about = {"questions": len(questions), "chunks": chunks, "build_s": round(seconds, 1), "query_ms": round(statistics.median(times), 2)}
    return hits, about


def measure(folder: Path, limit: int, embedder: Embedder, settings: IndexSettings) -> dict[str, Any]:
    """The line of one set."""
    questions = read(folder / "questions.jsonl")[: limit or None]
    hits, about = ask(read(folder / "corpus.jsonl"), [row["question"] for row in questions], embedder, settings)
    figures = retrieval_figures([document_rank(found, row["id"]) for found, row in zip(hits, questions, strict=True)])
    return {"set": folder.name} | about | {name: round(value, 4) for name, value in figures.items()}


def cranfield(folder: Path, embedder: Embedder, settings: IndexSettings) -> dict[str, Any]:
    """The line of Cranfield. Grades run from 1 (answers it all) to 4 (of some interest): gains are 4 to 1."""
    corpus = [{"id": number, "text": text} for number, text in _entries(folder / "cran.all.1400") if text]
    asked = [text for _, text in _entries(folder / "cran.qry")]  # the judgements count the questions from 1, whatever they are numbered
    gains: dict[int, dict[str, int]] = {}
    for line in (folder / "cranqrel").read_text(encoding="ascii").splitlines():
        question, document, grade = line.split()
        gains.setdefault(int(question) - 1, {})[document] = 5 - int(grade) if int(grade) in range(1, 5) else 0
    hits, about = ask(corpus, asked, embedder, settings)
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
    defaults = IndexSettings()
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("sets", type=Path)
    arguments.add_argument("--cranfield", type=Path, help="folder of the Cranfield collection")
    arguments.add_argument("--embedder", default=BUNDLED_EMBEDDER)
    arguments.add_argument("--backend", default="torch")
    arguments.add_argument("--set", action="append", help="only this set (may be given again)")
    arguments.add_argument("--limit", type=int, default=0, help="ask only so many questions; 0 asks all")
    arguments.add_argument("--dense-en", type=float, default=defaults.dense_weight_en)
    arguments.add_argument("--dense-ja", type=float, default=defaults.dense_weight_ja)
    given = arguments.parse_args()
    embedder = bundled_embedder(given.embedder, given.backend)
    settings = IndexSettings(dense_weight_en=given.dense_en, dense_weight_ja=given.dense_ja)
    for name in given.set or sorted(path.name for path in given.sets.iterdir()):
        print(json.dumps(measure(given.sets / name, given.limit, embedder, settings)), flush=True)
    if given.cranfield:
        print(json.dumps(cranfield(given.cranfield, embedder, settings)), flush=True)


if __name__ == "__main__":
    main()
