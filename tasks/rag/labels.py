"""Who may see today what an answer rested on when it was given: by the labels of the index that serves now."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.documents.access import admits
from tasks.rag.index_files import CHUNKS, read_facts
from tasks.text.runs import runs


class LabelsNow:
    """The labels of all texts and documents of an index. A source is known by its `text_sha256`, wherever that text stands now; where that was
    rewritten, by its document.

    Raises:
        MigakiError: the index is of another version of Migaki.
    """

    def __init__(self, folder: Path):
        read_facts(folder)
        self._labels: dict[str, set[tuple[str, ...]]] = {}
        for row in pq.read_table(folder / CHUNKS, columns=["document", "text", "allowed"]).to_pylist():
            for name in (hashlib.sha256(row["text"].encode()).hexdigest(), row["document"]):
                self._labels.setdefault(name, set()).add(tuple(row["allowed"]))

    def admit(self, source: Mapping[str, Any], groups: Collection[str] = frozenset()) -> bool | None:
        """Whether a person of these groups may see a source; None where it is in the index no longer."""
        labels = self._labels.get(source.get("text_sha256", ""), self._labels.get(source["document"]))
        return None if labels is None else any(admits(label, groups) for label in labels)


def standing(folder: Path) -> Callable[[Mapping[str, Any]], str]:
    """Asks what has become of a source since an answer rested on it, by the index that serves now: "" where everybody may see it, else
    "restricted source" or "source gone".

    Raises:
        MigakiError: the index is of another version of Migaki.
    """
    labels = LabelsNow(folder)
    return lambda source: {True: "", False: "restricted source", None: "source gone"}[labels.admit(source)]


def quoting(folder: Path, texts: Iterable[str]) -> set[str]:
    """Those of the texts that quote what not everybody may see, by an index; what stands in a public document, too, is no secret."""
    of_run: dict[str, set[str]] = {}
    for text in texts:
        for run in runs(text):
            of_run.setdefault(run, set()).add(text)
    rows = pq.read_table(folder / CHUNKS, columns=["text", "allowed"]).to_pylist()
    held = {
        restricted: {run for row in rows if bool(row["allowed"]) == restricted for run in runs(row["text"]) if run in of_run}
        for restricted in (True, False)
    }
    return set().union(*(of_run[run] for run in held[True] - held[False]))
