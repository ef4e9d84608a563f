"""An index of format 3, written as the version before sentences had vectors wrote it: whole chunks alone are embedded."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tasks.rag.index_files import CHUNKS, FACTS, Vectors, write_index
from tasks.rag.sentence_vectors import CODES, SCALES, quantized
from tasks.rag.settings import IndexSettings
from tasks.rag.vectors import identity

NOT_THERE = ("companions", "prompts")  # of the facts


def write_former(folder: Path, chunks: list[dict[str, Any]], embedder: Any, settings: IndexSettings) -> None:
    """Write it to a folder; `chunks` as the stage makes them today."""
    folder.mkdir(parents=True, exist_ok=True)
    sentences = sum(len(row["places"]) // 2 for row in chunks)
    vectors = Vectors(embedder.embed([row["indexed"] for row in chunks]), quantized(np.ones((sentences, embedder.dimension))))
    write_index(folder, chunks, vectors, settings, replace(identity(embedder), prompts=None))
    strip(folder)


def strip(folder: Path) -> None:
    """Take away what an index of format 3 has not."""
    for name in (CODES, SCALES):
        (folder / name).unlink(missing_ok=True)
    for path in folder.glob("dense.*.faiss"):
        path.unlink()
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    facts = {name: value for name, value in facts.items() if name not in NOT_THERE} | {"format": 3}
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    pq.write_table(pq.read_table(folder / CHUNKS).drop(["places"]), folder / CHUNKS)
