"""The shape of every study: arms, items, measures. A new one is a page of code that says how an arm answers items; all else is here."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

ALL = "all"  # the language of figures over every language together


@dataclass(frozen=True)
class Arm:
    """One of the things compared. `settings` says what makes it differ, in plain values; `adopt` are settings of a run, such as
    {"chat.temperature": 0.3}, with which a release takes it up."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    adopt: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """What every arm answers. Items of a `group` are resampled as one, such as questions about one document; "" is a group of its own."""

    id: str
    lang: str
    content: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class Measure:
    """A figure of each item.

    Attributes:
        per: the measure by whose sum the sum of this one is divided, such as characters for a loss; "" takes the mean.
        better: which way is better; "" says neither.
        told: whether it is said at the end of a run, beside the first measure, which always is.
    """

    name: str
    label: str = ""
    better: Literal["higher", "lower", ""] = "higher"
    per: str = ""
    told: bool = False


@dataclass(frozen=True)
class Answer:
    """What an arm made of an item. A measure that is missing in `values` was not taken of it."""

    values: Mapping[str, float]
    prompt: str = ""
    text: str = ""
    reference: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """An answer with its place in the study; `seconds` is its share of the batch that it was in."""

    arm: str
    item: str
    seconds: float
    answer: Answer


@dataclass(frozen=True)
class Opened:
    """An arm that is ready: `answer` gives as many answers as it is given items; `facts` are figures of the arm as a whole, such as its parameters."""

    answer: Callable[[Sequence[Item]], Sequence[Answer]]
    facts: Mapping[str, float] = field(default_factory=dict)


class Study(Protocol):
    """What is compared, on what, and how. The first arm is the one that the others are compared with, by the first measure before all."""

    @property
    def name(self) -> str: ...

    @property
    def arms(self) -> Sequence[Arm]: ...

    @property
    def items(self) -> Sequence[Item]: ...

    @property
    def measures(self) -> Sequence[Measure]: ...

    @property
    def batch(self) -> int:
        """Items that are answered together; between two batches a killed study can go on."""
        ...

    def opened(self, arm: Arm) -> AbstractContextManager[Opened]:
        """The arm, in memory only meanwhile."""
        ...


@dataclass(frozen=True)
class Results:
    """All rows by arm and item, in the study's order, and the facts of each arm."""

    rows: Sequence[Row]
    facts: Mapping[str, Mapping[str, float]]

    def of(self, arm: str) -> list[Row]:
        return [row for row in self.rows if row.arm == arm]


class Journal:
    """What is answered so far: a line for each batch and for the facts of each arm, synced before the next batch begins."""

    def __init__(self, path: Path):
        """Read what a killed run left; a line that it did not finish is cut off."""
        self.path = path
        self.rows: dict[tuple[str, str], Row] = {}
        self.facts: dict[str, dict[str, float]] = {}
        if path.exists():
            whole = path.read_bytes()
            kept = whole[: whole.rfind(b"\n") + 1]
            if len(kept) < len(whole):
                path.write_bytes(kept)
            for line in kept.decode("utf-8").splitlines():
                self._take(json.loads(line))

    def add(self, rows: Sequence[Row]) -> None:
        self._write({"rows": [asdict(row) for row in rows]})

    def add_facts(self, arm: str, facts: Mapping[str, float]) -> None:
        self._write({"arm": arm, "facts": dict(facts)})

    def _write(self, said: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(said, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._take(said)

    def _take(self, said: dict[str, Any]) -> None:
        if "facts" in said:
            self.facts[said["arm"]] = said["facts"]
        for row in said.get("rows", ()):
            self.rows[row["arm"], row["item"]] = Row(row["arm"], row["item"], row["seconds"], Answer(**row["answer"]))


def run_study(study: Study, journal: Journal, on_done: Callable[[int], object] = lambda items: None) -> Results:
    """Every arm's answer to every item; those that the journal has are not asked for again, and an arm that lacks none is not opened.

    Args:
        on_done: hears how many items were answered, or found in the journal.

    Raises:
        ValueError: two arms, or two items, have the same name.
    """
    names, ids = [arm.name for arm in study.arms], [item.id for item in study.items]
    for what, given in (("arms", names), ("items", ids)):
        if twice := sorted({name for name in given if given.count(name) > 1}) if len(set(given)) < len(given) else []:
            raise ValueError(f"two {what} of the study {study.name!r} are called {twice[0]!r}")
    for arm in study.arms:
        missing = [item for item in study.items if (arm.name, item.id) not in journal.rows]
        on_done(len(study.items) - len(missing))
        if missing:
            with study.opened(arm) as opened:
                journal.add_facts(arm.name, opened.facts)
                for rows in _answered(arm, opened, missing, study.batch):
                    journal.add(rows)
                    on_done(len(rows))
    rows = [journal.rows[name, item] for name in names for item in ids]
    return Results(rows, {name: journal.facts.get(name, {}) for name in names})


def _answered(arm: Arm, opened: Opened, items: Sequence[Item], size: int) -> Iterator[list[Row]]:
    for start in range(0, len(items), size):
        part, began = items[start : start + size], time.perf_counter()
        answers = opened.answer(part)
        seconds = (time.perf_counter() - began) / len(part)
        yield [Row(arm.name, item.id, seconds, answer) for item, answer in zip(part, answers, strict=True)]
