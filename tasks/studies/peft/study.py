"""The study of tuning methods: arms are methods, items held-out rows, and the measure what the tuned model says of their answers."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.data.records import Instruction
from tasks.errors import MigakiError
from tasks.processes import last_words, listen_to
from tasks.studies.peft.arm import JOB, MISTAKE, RESULT, SHARE, Job
from tasks.studies.study import Answer, Arm, Item, Measure, Opened
from tasks.training.settings import UNMERGEABLE

NLL = Measure("nll", "nats per character", "lower", per="characters")
# Shares of the parameters that learn, in percent, as the textbook's table has them.
TEXTBOOK = {"full": (100.0, 100.0), "lora": (0.1, 1.0), "adapter": (2.0, 5.0), "prompt": (0.0, 0.1)}
ERRORS = "errors.log"


def arm_of(method: str, first: str) -> Arm:
    """The arm of a method. A release takes up what cannot be merged only where nothing is trained on top of it."""
    adopt = {} if method == first else {"tune.method": method} | ({"run.align": "false"} if method in UNMERGEABLE else {})
    return Arm(method, {"method": method}, adopt)


def item_of(row: Instruction) -> Item:
    return Item(row.id, row.lang, {"question": row.messages[-1]["content"], "answer": row.answer})


def beside_the_textbook(method: str, facts: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """The figures of a method, with the textbook's share right after its own where the textbook has one."""
    for name, value in facts.items():
        yield name, value
        if name == SHARE and method in TEXTBOOK:
            yield from zip(("textbook, at least %", "textbook, at most %"), TEXTBOOK[method], strict=True)


@dataclass
class PeftStudy:
    """The study of one base model and dataset. `job_of` says what an arm's process is given; `on_step` hears of its steps;
    `scratch` is a folder that is swept when this process is killed."""

    arms: Sequence[Arm]
    items: Sequence[Item]
    job_of: Callable[[Arm], Job]
    on_step: Callable[[str, int, int, float], object]
    scratch: Path
    name: str = "peft_study"
    measures: Sequence[Measure] = (NLL,)
    batch: int = sys.maxsize  # all at once: a method is trained and scored, or it is not

    @contextmanager
    def opened(self, arm: Arm) -> Iterator[Opened]:
        """Train and score in a process of its own, whose memory is gone when it ends."""
        found = self._run(arm)

        def answer(items: Sequence[Item]) -> list[Answer]:
            return [Answer(found["rows"][item.id], item.content["question"], "", item.content["answer"]) for item in items]

        yield Opened(answer, dict(beside_the_textbook(arm.name, found["facts"])))

    def _run(self, arm: Arm) -> dict[str, Any]:
        """
        Raises:
            MigakiError: the method cannot be trained so, or its process ended before it was done.
        """
        with TemporaryDirectory(dir=self.scratch, prefix=".arm-") as name:
            folder = Path(name)
            (folder / JOB).write_text(json.dumps(asdict(self.job_of(arm))), encoding="utf-8")
            command = [sys.executable, "-m", "tasks.studies.peft.arm", str(folder)]
            code = listen_to(command, lambda line: self._hear(arm, line), folder / ERRORS)
            if (folder / MISTAKE).exists():
                raise MigakiError(f"the method {arm.name!r}: {(folder / MISTAKE).read_text(encoding='utf-8')}")
            if code:
                raise MigakiError(f"the process of the method {arm.name!r} ended with {code}:\n{last_words(folder / ERRORS)}")
            result: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
            return result

    def _hear(self, arm: Arm, line: str) -> None:
        """A step, [step, steps, loss]. Other output is some library's."""
        try:
            step, steps, loss = json.loads(line)
        except (TypeError, ValueError):
            return
        self.on_step(arm.name, step, steps, loss)
