"""A question of a benchmark, whatever form its file has."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["choice", "number", "text", "yes_no"]
# What is scored of a choice: its text behind the question; its letter, where the choices stand in the question (Hendrycks et al. 2021, figure 1); its
# text as the question's own end (Zellers et al. 2019).
Style = Literal["text", "letters", "continued"]
YES, NO = "yes", "no"  # the right answers of the kind yes_no, in whatever language it is asked


@dataclass(frozen=True)
class Question:
    """One question and its right answer.

    Attributes:
        id: unique in its suite.
        lang: code of the language it is asked in.
        choices: texts; empty for every kind but "choice".
        answer: of "choice" the letter of the right one (`letter`), of "number" digits without separators ("1080", "2.5"), of "yes_no" `YES` or `NO`.
        subject: the part of the suite that it belongs to, "" without any.
        rationale: the published steps to the answer, "" without any.
    """

    id: str
    lang: str
    question: str
    choices: tuple[str, ...]
    answer: str
    kind: Kind
    subject: str = ""
    rationale: str = ""

    @property
    def right(self) -> int:
        """Index of the right choice."""
        return ord(self.answer) - ord("A")


@dataclass(frozen=True)
class Suite:
    """A benchmark's questions.

    Attributes:
        note: what whoever reads figures on it must know, such as that these are training questions; "" for nothing.
        examples: questions that are published as the worked examples of a few-shot prompt; empty where the suite has none apart.
        style: what is scored of its choices.
    """

    name: str
    questions: tuple[Question, ...]
    note: str = ""
    examples: tuple[Question, ...] = ()
    style: Style = "text"


def letter(index: int) -> str:
    """The name of a choice by its place: A is the first."""
    return chr(ord("A") + index)


def numbered(value: float) -> str:
    """A number as `Question.answer` has it, to six decimals: 51.0 is "51", and so is what multiplying left beside it."""
    value = round(value, 6)
    return f"{value:.6f}".rstrip("0").rstrip(".") if value % 1 else str(int(value))
