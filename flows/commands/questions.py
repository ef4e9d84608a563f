"""`migaki questions check`: which items of a file cannot be judged as they are, before anything is trained or asked."""

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from flows.commands.show import PlainConsole
from tasks.data.duplicates import normalised
from tasks.data.judgeable import document_text, faults
from tasks.data.normalise import questions
from tasks.data.records import Document, Question
from tasks.data.rows import Malformed
from tasks.data.sources import existing, read_rows, split_format
from tasks.documents.finding import find_documents
from tasks.documents.parsed import Unreadable
from tasks.documents.reading import read_all
from tasks.documents.tables import BadRow


@dataclass(frozen=True)
class Fault:
    """What is wrong in a line of a file; `question` is empty where the line is none."""

    file: str
    line: int
    question: str
    fault: str


@dataclass(frozen=True)
class Read:
    """A question, and the line of the file in which it stands (the row, in a file without lines)."""

    file: str
    line: int
    question: Question

    def fault(self, text: str) -> Fault:
        return Fault(self.file, self.line, self.question.question, text)


def check(files: list[str], documents: list[str] | None, out: TextIO) -> dict[str, Any]:
    """Print and return what is wrong with the questions of some files; the exit code is 1 where anything is.

    Args:
        files: as `prepare.questions` names them.
        documents: the files and folders that the questions are about, as `prepare.documents` names them; None: nothing is held against them.

    Raises:
        MigakiError: a file or a folder is not there, or cannot be read.
    """
    found, read, inside = list[Fault](), list[Read](), dict[str, str | Unreadable]()
    for spec in files:
        for one in _read(spec):
            match one:
                case Fault():
                    found.append(one)
                case Document():
                    inside[one.path] = one.text
                case Read():
                    read.append(one)
    named = {name for one in read for name in (one.question.document, *one.question.also) if name} - inside.keys()
    texts = inside | _texts(documents, named) if documents is not None else inside if not named else None
    found += [one.fault(fault) for one in read for fault in faults(one.question, texts)] + _repeats(read)
    found.sort(key=lambda fault: (files.index(fault.file), fault.line))
    counts = _counts(read, {(fault.file, fault.line, fault.question) for fault in found})
    _print(found, counts, texts is not None, out)
    return {
        "faults": [asdict(fault) for fault in found],
        "languages": counts,
        "documents_checked": texts is not None,
        "exit_code": int(bool(found)),
    }


def known(file: str) -> list[Question]:
    """The questions of a file, those passed over that cannot be read."""
    return [one.question for one in _read(file) if isinstance(one, Read)]


def _read(spec: str) -> Iterator[Fault | Document | Read]:
    """What the rows of a file are. A question that its file marks as unanswerable is none that `prepare` keeps."""
    format = split_format(spec, "questions")[0]
    for row in read_rows(existing(spec, "questions")):
        if isinstance(row, BadRow):
            yield Fault(spec, row.line, "", row.detail)
            continue
        try:
            for one in list(questions(row.value, row.source, format)):
                if isinstance(one, Document):
                    yield one
                elif one.answer:
                    yield Read(spec, row.line, one)
        except Malformed as error:
            yield Fault(spec, row.line, "", str(error))


def _texts(documents: list[str], named: set[str]) -> dict[str, str | Unreadable]:
    """What the named documents say that are among these; or why they cannot be read. Rows of tables are documents, too ("faq.csv#7")."""
    files = [file for file in find_documents(documents) if file.name in named or any(name.startswith(f"{file.name}#") for name in named)]
    return {name: parsed if isinstance(parsed, Unreadable) else document_text(parsed) for name, parsed in read_all(files)}


def _repeats(read: list[Read]) -> list[Fault]:
    """Questions that an earlier one asks about the same document: `prepare` drops them."""
    first: dict[tuple[str, str], Read] = {}
    found = []
    for one in read:
        above = first.setdefault((normalised(one.question.question), one.question.document), one)
        if above is not one:
            found.append(one.fault(f"asks what {above.file} line {above.line} asks about the same document"))
    return found


def _counts(read: list[Read], wrong: set[tuple[str, int, str]]) -> dict[str, dict[str, int]]:
    """By language: questions, those whose answers can be judged, those without `accept`, which count for the right source alone where they name a
    document, and else for neither."""
    counts: dict[str, Counter[str]] = {}
    for one in read:
        own = counts.setdefault(one.question.lang, Counter(questions=0, judged=0, source_only=0, neither=0))
        own["questions"] += 1
        if not one.question.accept:
            own["source_only" if one.question.document else "neither"] += 1
        elif (one.file, one.line, one.question.question) not in wrong:
            own["judged"] += 1
    return {lang: dict(counts[lang]) for lang in sorted(counts)}


def _print(found: list[Fault], counts: dict[str, dict[str, int]], documents: bool, out: TextIO) -> None:
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="replace")
    page = PlainConsole(file=out, highlight=False, markup=False, emoji=False)
    for fault in found:
        asked = f" {fault.question!r}" if fault.question else ""
        page.print(f"{fault.file} line {fault.line}{asked}: {fault.fault}", soft_wrap=True)
    for lang, own in counts.items():
        rest = f"{own['source_only']} without accept count for the right source only"
        rest += f", {own['neither']} name no document either and count for neither" if own["neither"] else ""
        page.print(f"{lang}: {own['questions']} questions, answers to {own['judged']} can be judged; {rest}", soft_wrap=True)
    if not documents:
        page.print("the documents were not looked at: name their folder with --documents", soft_wrap=True)
    page.print(f"{len(found)} faults" if found else "nothing wrong")
