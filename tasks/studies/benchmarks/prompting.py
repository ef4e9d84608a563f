"""How benchmarks ask: a question, worked examples before it, and what an answer looks like, as text that a model goes on with.

No chat template: published figures are of models that go on with a text. The wording is that of lm-evaluation-harness where it has one.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.errors import MigakiError
from tasks.studies.suites.forms import FINAL
from tasks.studies.suites.language import studies_languages
from tasks.studies.suites.question import Question, Style, Suite, letter

BETWEEN = "\n\n"


@dataclass(frozen=True)
class Asked:
    """A question as text.

    Attributes:
        examples: the worked examples, the same before every question of a subject; "" without.
        context: these and the question, up to where the answer begins.
        endings: each choice as it follows the context; empty where an answer is written.
        empty: what stands in the context's place in an empty prompt.
    """

    examples: str
    context: str
    endings: tuple[str, ...]
    empty: str


@dataclass(frozen=True)
class Drawn:
    """The questions of a suite that are asked, and by subject the worked examples before them."""

    suite: Suite
    questions: tuple[Question, ...]
    examples: Mapping[str, tuple[Question, ...]]


def draw(suite: Suite, shots: int, items: int, seed: int) -> Drawn:
    """Examples and questions by the seed. A suite that publishes no examples gives some of its questions, which are not asked.

    Args:
        items: how many are asked, in the order of the file; 0 asks all.

    Raises:
        MigakiError: there are fewer examples than `shots`.
    """
    dice = random.Random(seed)
    pool: dict[str, list[Question]] = {}
    for question in suite.examples or suite.questions:
        pool.setdefault(question.subject if suite.examples else "", []).append(question)
    for subject in sorted({question.subject for question in suite.questions} if suite.examples else {""}):
        if shots > len(pool.get(subject, ())):
            of = f"its subject {subject}" if subject else "it"
            raise MigakiError(
                f"benchmark {suite.name}: {shots} worked examples are asked for (benchmark.shots), and {of} has {len(pool.get(subject, ()))} to show"
            )
    examples = {subject: tuple(dice.sample(own, shots)) for subject, own in sorted(pool.items()) if len(own) >= shots}
    shown = {question.id for own in examples.values() for question in own}
    asked = [question for question in suite.questions if question.id not in shown]
    if items and items < len(asked):
        asked = [asked[i] for i in sorted(dice.sample(range(len(asked)), items))]
    if not suite.examples:
        examples = dict.fromkeys({question.subject for question in asked}, examples.get("", ()))
    return Drawn(suite, tuple(asked), examples)


def ask(question: Question, examples: Sequence[Question], style: Style = "text") -> Asked:
    """The question as a model is asked it."""
    joint = studies_languages()[question.lang].JOINT
    empty = "" if style == "continued" else _frame(question, "").strip().splitlines()[-1]
    before = "".join(_context(one, style) + joint + _solved(one, style) + BETWEEN for one in examples)
    endings = [letter(i) for i in range(len(question.choices))] if style == "letters" else question.choices
    return Asked(before, before + _context(question, style), tuple(joint + ending for ending in endings), empty)


def cut(text: str, question: Question) -> str:
    """What was written, up to where the model goes on with a question of its own."""
    begins = studies_languages()[question.lang].ASK.partition("{question}")[0]
    return text.partition(f"\n{begins}")[0].partition(BETWEEN + begins)[0].strip()


def _frame(question: Question, text: str) -> str:
    return studies_languages()[question.lang].ASK.replace("{question}", text)


def _context(question: Question, style: Style) -> str:
    if style == "continued":
        return question.question
    listed = "".join(f"\n{letter(i)}. {choice}" for i, choice in enumerate(question.choices)) if style == "letters" else ""
    return _frame(question, question.question + listed)


def _solved(question: Question, style: Style) -> str:
    """The right answer as an example shows it: of a question with steps these, then the answer behind the mark that GSM8K puts before it."""
    if question.kind == "choice":
        return question.answer if style == "letters" else question.choices[question.right]
    return f"{question.rationale}\n{FINAL} {question.answer}" if question.rationale else question.answer
