"""The stage prepare: files in, a dataset version out, and an account of every row that was dropped."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage import ArtifactRef
from tasks.data import normalise, select
from tasks.data.language import detect
from tasks.data.records import Document, Question, Text, content_id, save
from tasks.data.settings import PrepareSettings
from tasks.data.sources import BadRow, document_files, existing, fingerprint, read_rows, split_format
from tasks.errors import MigakiError
from tasks.stage import Work, stage

KINDS = ("instructions", "preferences", "documents", "questions", "text")


def input_files(settings: PrepareSettings) -> dict[str, Any]:
    """What prepare reads, by content: enters the key of the dataset in place of the paths."""
    return {kind: [[split_format(spec)[0], fingerprint([spec])] for spec in getattr(settings, kind)] for kind in KINDS}


class Ledger:
    """Counts of what was kept, and the rows that were not with the reason."""

    def __init__(self) -> None:
        self.kept: Counter[tuple[str, str, str]] = Counter()  # (kind, split, lang)
        self.dropped: list[dict[str, Any]] = []

    def drop(self, kind: str, source: str, line: int, reason: str, detail: str, row: str, lang: str = "") -> None:
        self.dropped.append({"kind": kind, "source": source, "line": line, "reason": reason, "detail": detail, "lang": lang, "row": row})

    def drop_records(self, kind: str, dropped: list[tuple[Any, str, str]]) -> None:
        for record, reason, detail in dropped:
            self.drop(kind, record.source, 0, reason, detail, json.dumps(asdict(record), ensure_ascii=False), record.lang)

    def rows(self) -> list[dict[str, Any]]:
        """Rows for the catalog table `datasets`."""
        counts = Counter((row["kind"], row["lang"], row["reason"]) for row in self.dropped)
        kept = [{"kind": kind, "split": split, "lang": lang, "reason": "", "rows": n} for (kind, split, lang), n in sorted(self.kept.items())]
        return kept + [{"kind": kind, "split": "", "lang": lang, "reason": reason, "rows": n} for (kind, lang, reason), n in sorted(counts.items())]


@stage("prepare", kind="dataset", settings=PrepareSettings, uses=(), fingerprint=input_files)
def prepare(settings: PrepareSettings, inputs: dict[str, ArtifactRef], work: Work) -> None:
    """Read, validate, drop duplicates and leaks, split, and write one Parquet file per kind and split."""
    ledger = Ledger()
    asked = _read(settings.questions, "questions", settings, ledger, lambda row, source, _: list(normalise.questions(row, source)))
    questions = [record for record in asked if isinstance(record, Question)]
    documents = [record for record in asked if isinstance(record, Document)]
    questions = _cut("questions", _unique("questions", questions, lambda q: q.question, 1.0, ledger), settings.max_questions, ledger)
    save(work.path / "questions.parquet", questions)
    ledger.kept.update(("questions", "eval", question.lang) for question in questions)
    _documents(settings, documents, work, ledger)
    for kind, make, text_of in (
        ("instructions", normalise.instruction, lambda r: " ".join(turn["content"] for turn in r.messages) + " " + r.answer),
        ("preferences", normalise.preference, lambda r: " ".join(turn["content"] for turn in r.messages) + r.chosen + r.rejected),
    ):
        records = _read(getattr(settings, kind), kind, settings, ledger, lambda row, source, format, make=make: [make(row, source, format)])
        records = _unique(kind, records, text_of, settings.near_duplicate, ledger)
        if kind == "preferences":
            records = _with_two_sides(records, ledger)
        records, leaks = select.drop_leaks(records, lambda r: r.messages[-1]["content"], questions, settings.near_duplicate)
        ledger.drop_records(kind, leaks)
        _split(kind, _cut(kind, records, getattr(settings, f"max_{kind}"), ledger), settings.eval_share, work, ledger)
    _split("text", _texts(settings), settings.eval_share, work, ledger)
    if ledger.dropped:
        pq.write_table(pa.Table.from_pylist(ledger.dropped), work.path / "dropped.parquet")
    work.table("datasets", ledger.rows())
    kept, dropped = sum(ledger.kept.values()), len(ledger.dropped)
    work.meta["kept"], work.meta["dropped"] = kept, dropped
    work.meta["rows"] = {f"{kind}.{split}.{lang}": n for (kind, split, lang), n in sorted(ledger.kept.items())}
    work.headline("rows read, kept", kept + dropped, kept)


def _read(specs: list[str], kind: str, settings: PrepareSettings, ledger: Ledger, make: Callable[[dict, str, str | None], list]) -> list:
    """The records of all files of a kind; fails when a file has too many rows that are none."""
    records = []
    for spec in specs:
        bad: list[BadRow] = []
        read = 0
        for row in read_rows(spec):
            read += 1
            if isinstance(row, BadRow):
                bad.append(row)
                continue
            try:
                records += make(row.value, row.source, split_format(spec)[0])
            except normalise.Malformed as error:
                bad.append(BadRow(row.source, row.line, str(error), json.dumps(row.value, ensure_ascii=False, default=str)[:500]))
        if len(bad) > settings.max_malformed * read or read == 0:
            first = "; ".join(f"line {row.line}: {row.detail}" for row in bad[:3]) or "it has no rows"
            raise MigakiError(f"{len(bad)} of {read} rows of {str(existing(spec))!r} are no {kind} (at most {settings.max_malformed:.0%} may be, prepare.max_malformed): {first}")
        for row in bad:
            ledger.drop(kind, row.source, row.line, "malformed", row.detail, row.text)
    return records


def _unique(kind: str, records: list, text_of: Callable[[Any], str], threshold: float, ledger: Ledger) -> list:
    kept, dropped = select.drop_duplicates(records, text_of, threshold)
    ledger.drop_records(kind, dropped)
    return kept


def _cut(kind: str, records: list, limit: int, ledger: Ledger) -> list:
    kept, left_out = select.balanced(records, limit)
    ledger.drop_records(kind, [(record, "over the limit", f"prepare.max_{kind} = {limit}") for record in left_out])
    return kept


def _with_two_sides(records: list, ledger: Ledger) -> list:
    ledger.drop_records("preferences", [(record, "no preference", "both answers are the same") for record in records if record.chosen == record.rejected])
    return [record for record in records if record.chosen != record.rejected]


def _split(kind: str, records: list, share: float, work: Work, ledger: Ledger) -> None:
    for split, held_out in (("train", False), ("eval", True)):
        part = [record for record in records if select.is_held_out(record.id, share) == held_out]
        save(work.path / kind / f"{split}.parquet", part)
        ledger.kept.update((kind, split, record.lang) for record in part)


def _texts(settings: PrepareSettings) -> list[Text]:
    """Raw text as paragraphs of up to some 2,000 characters, so that a held-out share can be taken from a single file."""
    texts = []
    for spec in settings.text:
        path = existing(spec)
        try:
            whole = path.read_text(encoding="utf-8-sig")
        except (UnicodeDecodeError, IsADirectoryError) as error:
            raise MigakiError(f"prepare.text: {str(path)!r} is no UTF-8 text file: {error}") from error
        block: list[str] = []
        for paragraph in [*whole.split("\n"), None]:
            if block and (paragraph is None or sum(map(len, block)) + len(paragraph) > 2000):
                text = "\n".join(block).strip()
                if text:
                    texts.append(Text(content_id(text), text, detect(text), path.name))
                block = []
            block.append(paragraph or "")
    return texts


def _documents(settings: PrepareSettings, from_questions: list[Document], work: Work, ledger: Ledger) -> None:
    """Documents travel with the dataset, so that an index can be built on any machine that has the artifact."""
    unique = list({document.id: document for document in from_questions}.values())
    save(work.path / "documents.parquet", unique)
    ledger.kept.update(("documents", "", document.lang) for document in unique)
    for name, path in document_files(settings.documents):
        target = work.path / "documents" / Path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        ledger.kept["documents", "", "file"] += 1
