"""A benchmark by its name in a folder, or from a file whose published form is told by its rows."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.errors import MigakiError
from tasks.studies.suites.forms import FORMS, Form
from tasks.studies.suites.question import Kind, Question, Style, Suite
from tasks.studies.suites.rows import SUFFIXES, Row, read_rows, shortened, with_labels
from tasks.text.detection import detect

SPLITS = ("test", "valid", "validation", "val", "dev", "train")  # looked for in this order: published figures are of the first
ROOMS = ("", "knowledge", "reasoning")  # where in the folder that is given files are looked for
KINDS: dict[str, Kind] = {
    "mmlu": "choice",
    "jmmlu": "choice",
    "arc_easy": "choice",
    "arc_challenge": "choice",
    "piqa": "choice",
    "openbookqa": "choice",
    "jcommonsenseqa": "choice",
    "commonsenseqa": "choice",
    "hellaswag": "choice",
    "gsm8k": "number",
    "svamp": "number",
    "mgsm_ja": "number",
    "last_letters": "text",
    "strategyqa": "yes_no",
}
# Of known suites, whichever form a file has them in; of others the form tells.
STYLES: dict[str, Style] = {"mmlu": "letters", "jmmlu": "letters", "hellaswag": "continued"}
# They run what a model wrote, which takes a sandbox that Migaki does not have.
CODE = ("humaneval", "mbpp")
SUBJECTS = {"mmlu": 57, "jmmlu": 56}
SAMPLED = 200  # questions whose text tells a suite's language


@dataclass(frozen=True)
class Found:
    """Where a suite lies: its file, or a file for each of its subjects; those of its worked examples; and which split they are."""

    files: tuple[Path, ...]
    split: str
    examples: tuple[Path, ...] = ()
    by_subject: bool = False


def read_suite(name: str, folder: Path) -> Suite:
    """The suite of that name from `folder`, or its folder `knowledge` or `reasoning`.

    A file is called by the suite's name and a split (ARC-Easy_train.json, mgsm_ja.tsv); of several splits test, validation, train in this order. A suite
    of subjects is a folder of tables by subject, or one with the folders test and dev.

    Raises:
        MigakiError: no suite has that name; it is one of code; its file is not there, or a row of it is broken.
    """
    found = _found(name, folder)
    read = [_questions(path, KINDS[name], found.by_subject) for path in found.files]
    examples = [one for path in found.examples for one in _questions(path, KINDS[name], found.by_subject)[1]]
    return _suite(name, read[0][0], [one for _, questions in read for one in questions], examples, found.split)


def files_of(name: str, folder: Path) -> list[Path]:
    """The files that `read_suite` would read. Raises what it raises for what is missing."""
    found = _found(name, folder)
    return [file for path in (*found.files, *found.examples) for file in with_labels(path)]


def read_file(path: Path) -> Suite:
    """A suite from one file of any published form, named by the file.

    Raises:
        MigakiError: its form is not known, or a row of it is broken.
    """
    name = _normal(path.stem)
    split = next((split for split in SPLITS if name.endswith(f"_{split}")), "")
    name = name.removesuffix(f"_{split}") if split else name
    return _suite(name, *_questions(path, KINDS.get(name)), [], split)


def _normal(name: str) -> str:
    return re.sub(r"\W", "_", name.lower())


def _found(name: str, folder: Path) -> Found:
    if name in CODE:
        raise MigakiError(f"benchmark {name!r} is not run: it executes code that a model wrote, which takes a sandbox")
    if name not in KINDS:
        raise MigakiError(f"there is no benchmark {name!r}; benchmarks are {', '.join(KINDS)}, and --suite FILE reads one of your own")
    if folder == Path():
        raise MigakiError(f"benchmark {name!r}: say which folder has its file with --benchmarks-dir DIR")
    if not folder.is_dir():
        raise MigakiError(f"benchmarks are looked for in {folder}, which is no folder: give the one that holds them with --benchmarks-dir")
    for room in ROOMS:
        named = {_normal(path.stem if path.is_file() else path.name): path for path in sorted((folder / room).glob("*")) if _may_be(path)}
        for split in (*SPLITS, ""):
            if path := named.get(f"{name}_{split}" if split else name):
                return _in_folder(path) if path.is_dir() else Found((path,), split)
    raise MigakiError(
        f"benchmark {name!r}: {folder} has no file {name}_test, _valid, _dev or _train ({', '.join(SUFFIXES)}) and no folder {name}, nor have its folders "
        f"{' and '.join(room for room in ROOMS if room)}; --suite FILE reads a file of another name"
    )


def _may_be(path: Path) -> bool:
    return path.is_dir() or path.suffix in SUFFIXES


def _in_folder(folder: Path) -> Found:
    """The tables of a suite of subjects."""
    split = next((split for split in SPLITS if (folder / split).is_dir()), "")
    files = tuple(sorted(path for path in (folder / split).iterdir() if path.suffix in SUFFIXES))
    if not files:
        raise MigakiError(f"{folder / split}: there is no table of a subject in it ({', '.join(SUFFIXES)})")
    shown = tuple(sorted((folder / "dev").glob("*"))) if split not in ("", "dev") and (folder / "dev").is_dir() else ()
    return Found(files, split, tuple(path for path in shown if path.suffix in SUFFIXES), by_subject=True)


def _questions(path: Path, kind: Kind | None, by_subject: bool = False) -> tuple[Form, list[Question]]:
    """The form of a file, and all its questions. Its first row tells the form; of a known suite only forms of its kind are looked at."""
    rows = read_rows(path)
    form = _form(rows[0], kind)
    subject = re.sub(rf"_({'|'.join(SPLITS)})$", "", path.stem) if by_subject else ""
    found = []
    for row in rows:
        question = form.question(row, row.id)
        found.append(replace(question, subject=question.subject or subject))
    return form, found


def _form(row: Row, kind: Kind | None) -> Form:
    possible = [form for form in FORMS if kind in (None, form.kind)]
    form = next((form for form in possible if form.told(row.fields)), None)
    if form is None:
        raise MigakiError(
            f"{row.place}: the fields {', '.join(map(shortened, row.fields))} are of no form that is known here; accepted are "
            f"{'; '.join(form.name for form in possible)}"
        )
    return form


def _suite(name: str, form: Form, questions: list[Question], examples: list[Question], split: str) -> Suite:
    lang = detect("\n".join(question.question for question in questions[:: max(1, len(questions) // SAMPLED)]))
    subjects, notes = len({question.subject for question in questions}), []
    if split == "train":
        notes.append("these are training questions, which a model may have learnt; published figures are of the test questions")
    if subjects < SUBJECTS.get(name, 0):
        notes.append(f"these are {subjects} of the {SUBJECTS[name]} subjects; published figures are of all")
    note = "; ".join(notes)
    asked, shown = (tuple(replace(one, lang=lang) for one in part) for part in (questions, examples))
    return Suite(name, asked, note, shown, STYLES.get(name, "text") if name in KINDS else form.style)
