"""What the models are asked: held-out items, languages in balance, chosen by their content alone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tasks.data.records import load_instructions, load_preferences, load_questions
from tasks.data.select import balanced
from tasks.text.messages import Message

BUNDLED = Path(__file__).with_name("bundled.jsonl")  # what the chatbot is asked besides the team's own


@dataclass(frozen=True)
class Item:
    """A conversation, what a good answer is, and where the item comes from."""

    id: str
    suite: str  # instructions | questions | preferences
    messages: list[Message]
    reference: str
    lang: str
    document: str = ""
    choices: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Items:
    """Items for answer loss, for sampled answers, for multiple choice, and for retrieval."""

    loss: list[Item]
    prompts: list[Item]
    choices: list[Item]
    questions: list[Item]


def held_out_items(folder: Path, loss_items: int, prompts: int, choice_items: int, fits: Callable[[list[Message]], bool]) -> Items:
    """Items of a dataset, of which no model has seen the answers. Conversations that do not fit the models' context are passed over."""
    instructions = [
        Item(row.id, "instructions", row.messages, row.answer, row.lang) for row in load_instructions(folder, "eval") if row.answer
    ]  # calls alone are no text
    instructions = [item for item in instructions if fits(item.messages)]
    questions = [
        Item(row.id, "questions", [{"role": "user", "content": row.question}], row.answer, row.lang, row.document, row.choices)
        for row in load_questions(folder)
    ]
    preferences = [
        Item(row.id, "preferences", row.messages, row.chosen, row.lang) for row in load_preferences(folder, "eval") if fits(row.messages)
    ]
    once = list({repr(item.messages): item for item in [*questions, *preferences, *instructions]}.values())
    with_choices = [item for item in questions if len(item.choices) > 1]
    return Items(
        balanced([*instructions, *questions], loss_items)[0],
        balanced(once, prompts)[0],
        balanced(with_choices, choice_items)[0] if choice_items else [],
        questions,
    )
