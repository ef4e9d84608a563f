"""Templates of the chatbot beside those of its release, on the team's own questions, through the engine that serves."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from storage.kinds import Release
from tasks.asking.asking import AT_ONCE, Answered, Asked, answers
from tasks.asking.verdict import judged
from tasks.chatbot.engine import ChatEngine
from tasks.errors import MigakiError
from tasks.prompts.library.library import Library
from tasks.prompts.library.prompt import Prompt
from tasks.prompts.library.released import template_of
from tasks.studies.study import Answer, Arm, Item, Measure, Opened
from tasks.text.language import languages

RELEASE = "release"  # the arm of the templates that the release has
NOTES = (
    "Every language is asked for in the model's own words, whatever way of answering the release has: where it quotes, no template is read.",
    "Right is an answer that holds an accepted string, is short, and whose every sentence a source says (tasks/asking/verdict.py).",
    "These questions are among those that the evaluation asks: what is chosen here looks a little better there than it is on others.",
)


class OwnPrompts:
    """The study. An arm is a prompt of the library in all its languages; in a language that it lacks, the release's template stays."""

    name, batch = "prompt_study", AT_ONCE
    measures = (
        Measure("correct", "right"),
        Measure("accepted", "holds an accepted string"),
        Measure("wrong", "wrong", "lower"),
        Measure("tokens", "tokens written", ""),
        Measure("seconds", "seconds", ""),
    )

    def __init__(
        self,
        asked: Sequence[Asked],
        release: Release,
        prompts: dict[str, dict[str, Prompt]],
        taken_up: Callable[[str], str],
        opened: Callable[[Release], AbstractContextManager[ChatEngine]],
    ):
        """`prompts` by name and language; `taken_up` gives the value of `chat.templates` that names one; `opened` opens the engine of a release."""
        self.items = [Item(one.id, one.lang, {"asked": one}, one.group) for one in asked]
        self.release, self._engine = replace(release, answering=dict.fromkeys(languages(), "write")), opened
        self.templates = {RELEASE: release.templates} | {
            name: release.templates | {lang: template_of(prompt, f"the prompt {name!r}") for lang, prompt in own.items()}
            for name, own in prompts.items()
        }
        self.arms = [Arm(RELEASE), *(Arm(name, {"prompt": name}, {"chat.templates": taken_up(name)}) for name in prompts)]

    @contextmanager
    def opened(self, arm: Arm) -> Iterator[Opened]:
        with self._engine(replace(self.release, templates=self.templates[arm.name])) as engine:
            yield Opened(lambda items: [_answer(item, found) for item, found in zip(items, self._asked(engine, items), strict=True)])

    @staticmethod
    def _asked(engine: ChatEngine, items: Sequence[Item]) -> list[Answered]:
        return answers(engine, [item.content["asked"] for item in items])


def _answer(item: Item, answered: Answered) -> Answer:
    asked, turn = item.content["asked"], answered.turn
    verdict = judged(turn, asked.accept, asked.documents)
    return Answer(
        values={name: float(bool(getattr(verdict, name))) for name in ("correct", "accepted", "wrong")}
        | {"tokens": float(turn.tokens), "seconds": answered.seconds},
        prompt=asked.question,
        text=turn.answer,
        reference=asked.accept[0],
        details={"reason": turn.reason, "sources": [source.document for source in turn.sources]},
    )


def read_prompts(names: Sequence[str], library: Library) -> dict[str, dict[str, Prompt]]:
    """The prompts that a setting names, by name and language.

    Raises:
        MigakiError: there is none, one is not in the library, stands there twice, or has the name of the release's arm.
    """
    if not names:
        raise MigakiError("prompt_study.templates names no prompt of the library that the release's templates are held against")
    if wrong := next((name for name in names if list(names).count(name) > 1 or name == RELEASE), ""):
        raise MigakiError(f"prompt_study.templates: {wrong!r} stands there twice, or is the name of the release's own arm")
    return {name: library.named(name) for name in names}
