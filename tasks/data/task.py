"""The stage prepare: files in, a dataset version out, and an account of every row that was dropped."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.artifacts import ArtifactRef
from storage.kinds import Dataset
from tasks.data import accounts, normalise, select
from tasks.data.accounts import Account
from tasks.data.ledger import Ledger
from tasks.data.records import Document, Feedback, FollowUp, Question, Text, content_id, save
from tasks.data.rows import LeftOut, Malformed
from tasks.data.settings import PrepareSettings
from tasks.data.sources import KINDS, existing, read_rows, read_text, split_format
from tasks.documents.finding import find_documents, keep_rules
from tasks.documents.parsed import SUFFIXES
from tasks.documents.tables import BadRow, Row
from tasks.errors import MigakiError
from tasks.stages.work import Work
from tasks.text.detection import detect
from tasks.text.messages import said

BLOCK = 2000  # characters of a row of raw text
SOME_REPEATS, MANY_REPEATS = 0.10, 0.50  # shares of rows that repeat others: from the first it is said, from the second the stage ends


def _prompt(record: Any) -> str:
    return "\n".join(map(said, record.messages))


def _context(record: Any) -> str:
    return select.before_it(record.messages)


# How a row of each kind becomes records, and what a record says: first what it asks last, then its answers.
RECORDS: dict[str, Callable[[dict, str, str | None], Iterable]] = {
    "instructions": lambda row, source, format: [normalise.instruction(row, source, format)],
    "preferences": lambda row, source, format: [normalise.preference(row, source, format)],
    "questions": normalise.questions,
    "followups": lambda row, source, format: [normalise.followup(row, source, format)],
}
PARTS: dict[str, Callable[[Any], tuple[str, ...]]] = {
    "instructions": lambda record: (select.asked_last(record.messages), said(record.chat[-1])),
    "preferences": lambda record: (select.asked_last(record.messages), record.chosen, record.rejected),
    # The same answer liked and disliked is no repetition: "yes" and "no" have nothing in common, however little makes a near duplicate.
    "feedback": lambda record: (select.asked_last(record.messages), record.completion, "yes" if record.liked else "no"),
    "text": lambda record: (record.text,),
}
CONTRADICTIONS = {"preferences": select.drop_contradictions, "feedback": select.drop_disputed}
# The settings that limit how many records of a kind are taken.
LIMITS = {
    "instructions": "max_instructions",
    "preferences": "max_preferences",
    "feedback": "max_preferences",
    "questions": "max_questions",
}


def prepare(settings: PrepareSettings, inputs: dict[str, ArtifactRef], work: Work) -> Dataset:
    """Read, validate, drop duplicates and leaks, split, and write one Parquet file per kind and split."""
    ledger = Ledger()
    with work.progress("prepare", len(KINDS)) as bar:
        questions, contexts = _questions(settings, work, ledger)
        bar.advance()
        followups = _followups(settings, work, ledger)
        bar.advance()
        documents = _documents(settings, contexts, work, ledger)
        bar.advance()
        for kinds, records in _read_parts(settings, ledger):
            for kind in kinds:
                of_kind = [record for record in records if isinstance(record, Feedback) == (kind == "feedback")]
                _split(kind, _clean(kind, of_kind, questions, settings, ledger, work.log), settings.eval_share, work, ledger)
            bar.advance()
    _warn_of_lost_documents([*questions, *followups], documents, work)
    if ledger.dropped:
        pq.write_table(pa.Table.from_pylist(ledger.dropped), work.path / "dropped.parquet")
    work.table("datasets", ledger.rows())
    kept, dropped = sum(ledger.kept.values()), len(ledger.dropped)
    work.headline("rows read, kept", kept + dropped, kept)
    for line in accounts.lines(ledger.accounts, work.names):
        work.log(f"prepare: {line}")
    return Dataset(
        kept=kept,
        dropped=dropped,
        rows={f"{kind}.{split}.{lang}": n for (kind, split, lang), n in sorted(ledger.kept.items())},
        files=[account.as_dict() for account in ledger.accounts],
        today=settings.today,
    )


def _read_parts(settings: PrepareSettings, ledger: Ledger) -> Iterator[tuple[tuple[str, ...], list]]:
    """The records of one setting's files after the other's, each with the kinds that they are of."""
    yield ("instructions",), _read("instructions", settings, ledger)
    yield ("preferences", "feedback"), _read("preferences", settings, ledger)
    yield ("text",), _texts(settings, ledger)


def _read(kind: str, settings: PrepareSettings, ledger: Ledger) -> list:
    """The records of all files of a kind.

    Raises:
        MigakiError: a file has no rows, or too many that are none of that kind; names the first of them.
    """
    records = []
    for spec in getattr(settings, kind):
        format, path = split_format(spec, kind)[0], existing(spec, kind)
        bad, rows, account = list[BadRow](), 0, Account(path.name, kind)
        for row in read_rows(path, settings.max_unpacked_mb):
            rows += 1
            if isinstance(row, BadRow):
                bad.append(row)
                continue
            records += _records(kind, row, format, account, bad, ledger)
        if len(bad) > settings.max_malformed * rows or rows == 0:
            first = "; ".join(f"line {row.line}: {row.detail}" for row in bad[:3]) or "it has no rows"
            raise MigakiError(
                f"{len(bad)} of {rows} rows of {str(path)!r} are no {kind} "
                f"(at most {settings.max_malformed:.0%} may be, prepare.max_malformed): {first}"
            )
        for row in bad:
            ledger.drop(kind, row.source, row.line, "malformed", row.detail, row.text)
        if bad:
            account.read += len(bad)
            account.dropped["malformed"] = len(bad)
        ledger.accounts.append(account)
    return records


def _records(kind: str, row: Row, format: str | None, account: Account, bad: list[BadRow], ledger: Ledger) -> list:
    """The records of a row; what is wrong with it goes to `bad`, and what was done with it into the account of its file."""
    fields = normalise.fields_of(row.value)
    try:
        found = list(RECORDS[kind](fields, row.source, format))
    except Malformed as error:
        bad.append(BadRow(row.source, row.line, str(error), json.dumps(row.value, ensure_ascii=False, default=str)))
        return []
    except LeftOut as error:
        reason, detail = error.args
        account.read += 1
        account.dropped[reason] += 1
        ledger.drop(kind, row.source, row.line, reason, detail, json.dumps(row.value, ensure_ascii=False, default=str))
        return []
    of_it = [record for record in found if not isinstance(record, Document)]  # a row in SQuAD's form holds many questions
    ledger.came_from(account, of_it)
    account.formats[fields.format] += len(of_it)
    account.notes.update(fields.notes)
    account.unread.update(fields.unread)
    return found


def _questions(settings: PrepareSettings, work: Work, ledger: Ledger) -> tuple[list[Question], list[Document]]:
    """The held-out questions, and the documents that came in their files."""
    read = _read("questions", settings, ledger)
    contexts = list({record.id: record for record in read if isinstance(record, Document)}.values())
    asked = [record for record in read if isinstance(record, Question)]
    ledger.drop_records(
        "questions", [(question, "no answer", "the file marks it as unanswerable") for question in asked if not question.answer]
    )
    questions, repeats = select.drop_duplicates(
        [question for question in asked if question.answer], lambda question: (question.question, question.document), 1.0
    )
    ledger.drop_records("questions", repeats)
    if settings.questions and not questions:
        raise MigakiError(f"prepare.questions: there are 0 questions with an answer in {', '.join(settings.questions)}")
    questions = _cut("questions", questions, settings, ledger)
    save(work.path / "questions.parquet", questions)
    ledger.keep("questions", "eval", questions)
    return questions, contexts


def _followups(settings: PrepareSettings, work: Work, ledger: Ledger) -> list[FollowUp]:
    """The held-out chains of two questions, each once."""
    read = _read("followups", settings, ledger)
    found = list({record.id: record for record in read}.values())
    save(work.path / "followups.parquet", found)
    ledger.keep("followups", "eval", found)
    return found


def _documents(settings: PrepareSettings, contexts: list[Document], work: Work, ledger: Ledger) -> set[str]:
    """Names of all documents. They travel with the dataset, so that an index can be built on any machine that has the artifact."""
    save(work.path / "documents.parquet", contexts)
    ledger.kept.update(("documents", "", document.lang) for document in contexts)
    names, copied = {document.path for document in contexts}, []
    for file in find_documents(settings.documents, settings.follow_links):
        kind = file.path.suffix.lower()
        if file.barred:
            ledger.drop("documents", file.name, 0, "not read", file.barred, "")
            continue
        if kind not in SUFFIXES:
            reason = f"files of kind {kind or 'without suffix'!r} are not read; {', '.join(SUFFIXES)} are"
            ledger.drop("documents", file.name, 0, "not read", reason, "")
            continue
        target = work.path / "documents" / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(file.path, target)
        except OSError as error:
            ledger.drop("documents", file.name, 0, "not read", f"it cannot be opened: {error.strerror}", "")
            continue
        ledger.kept["documents", "", "file"] += 1
        copied.append(file)
        names.add(file.name)
    keep_rules(copied, work.path / "documents")
    return names


def _clean(
    kind: str, records: list, questions: list[Question], settings: PrepareSettings, ledger: Ledger, log: Callable[[str], object]
) -> list:
    """What stays of the records: each once, none that leaks a held-out question, no pair of equal answers, none that another speaks against, no
    more than the limit."""
    if kind == "preferences":
        ledger.drop_records(
            kind, [(record, "no preference", "both answers are the same") for record in records if record.chosen == record.rejected]
        )
        records = [record for record in records if record.chosen != record.rejected]
    if kind in CONTRADICTIONS:
        records, contradictions = CONTRADICTIONS[kind](records)
        ledger.drop_records(kind, contradictions)
    read, chats = len(records), kind != "text"
    records, repeats = select.drop_duplicates(records, PARTS[kind], settings.near_duplicate, _context if chats else None)
    ledger.drop_records(kind, repeats)
    _judge_repeats(kind, repeats, read, settings, log)
    records, leaks = select.drop_leaks(records, _prompt if chats else lambda record: record.text, questions, settings.near_duplicate)
    ledger.drop_records(kind, leaks)
    return _cut(kind, records, settings, ledger)


def _judge_repeats(kind: str, repeats: select.Dropped, read: int, settings: PrepareSettings, log: Callable[[str], object]) -> None:
    """Raises:
    MigakiError: near duplicates are more than half of the rows, which says more of how they are compared than of the rows.
    """
    reasons = Counter(reason for _, reason, _ in repeats)
    near, most = reasons["near duplicate"], f"prepare.near_duplicate = {settings.near_duplicate}"
    if near > MANY_REPEATS * read:
        raise MigakiError(
            f"{near} of {read} {kind} count as near duplicates of others ({most}), so that hardly anything would be left: raise that "
            "setting (1.0 drops equal rows alone), or see whether the rows say what they should"
        )
    if len(repeats) > SOME_REPEATS * read:
        log(
            f"prepare: WARNING: {len(repeats)} of {read} {kind} ({len(repeats) / read:.0%}) are dropped as repeating others: "
            f"{reasons['duplicate']} say the same, {near} nearly the same ({most})"
        )


def _cut(kind: str, records: list, settings: PrepareSettings, ledger: Ledger) -> list:
    limit = getattr(settings, LIMITS[kind]) if kind in LIMITS else 0
    kept, left_out = select.balanced(records, limit)
    ledger.drop_records(kind, [(record, "over the limit", f"prepare.{LIMITS[kind]} = {limit}") for record in left_out])
    return kept


def _split(kind: str, records: list, share: float, work: Work, ledger: Ledger) -> None:
    held_out = [select.is_held_out(record.id if kind == "text" else select.asked(record.messages), share) for record in records]
    for split, side in (("train", False), ("eval", True)):
        part = [record for record, held in zip(records, held_out, strict=True) if held == side]
        save(work.path / kind / f"{split}.parquet", part)
        ledger.keep(kind, split, part)
    if records and sum(held_out) in (0, len(records)):
        work.log(
            f"prepare: all {len(records)} {kind} fell on the {'held-out' if held_out[0] else 'training'} side: with so few rows, set prepare.eval_share (now {share})"
        )


def _texts(settings: PrepareSettings, ledger: Ledger) -> list[Text]:
    """Raw text as rows of whole lines, up to some 2,000 characters each, so that a held-out share can be taken from a single file."""
    texts = []
    for path in (existing(spec, "text") for spec in settings.text):
        blocks = [""]
        for line in read_text(path, settings.max_unpacked_mb).splitlines(keepends=True):
            if len(blocks[-1]) + len(line) > BLOCK:
                blocks.append("")
            blocks[-1] += line
        parts = [block[i : i + BLOCK].strip() for block in blocks for i in range(0, len(block), BLOCK)]
        of_it = [Text(content_id(part), part, detect(part), path.name) for part in parts if part]
        account = Account(path.name, "text", Counter({"plain": len(of_it)}))
        ledger.came_from(account, of_it)
        ledger.accounts.append(account)
        texts += of_it
    return texts


def _warn_of_lost_documents(questions: list[Question | FollowUp], documents: set[str], work: Work) -> None:
    named = [[name for name in (question.document, *question.also) if name and name not in documents] for question in questions]
    lost = [names[0] for names in named if names]
    if lost:
        which = f": {', '.join(sorted(set(lost))[:3])}" if work.names else ""
        work.log(f"prepare: {len(lost)} questions name a document that is not there, so it cannot be found for them{which}")
