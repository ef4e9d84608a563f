"""What is asked: held-out prompts of a dataset with what a right answer is."""

from collections.abc import Callable
from pathlib import Path

from tasks.data.records import load_instructions, load_questions
from tasks.data.select import balanced
from tasks.studies.study import Item
from tasks.text.messages import Message


def held_out_prompts(folder: Path, count: int, fits: Callable[[list[Message]], bool]) -> list[Item]:
    """Questions and held-out instructions that have an answer, languages in balance, chosen by their content alone.

    An item has `messages`, a `reference`, and of the team's own questions the strings of which any right answer contains one (`accept`). Questions
    about one document are a group.
    """
    questions = [
        _item(row.id, row.lang, [{"role": "user", "content": row.question}], row.answer, row.accept, row.document)
        for row in load_questions(folder)
    ]
    instructions = [_item(row.id, row.lang, row.messages, row.answer, [], "") for row in load_instructions(folder, "eval")]
    once = {repr(item.content["messages"]): item for item in [*instructions, *questions] if item.content["reference"]}
    return balanced([item for item in once.values() if fits(item.content["messages"])], count)[0]


def _item(name: str, lang: str, messages: list[Message], reference: str, accept: list[str], document: str) -> Item:
    return Item(name, lang, {"messages": messages, "reference": reference.strip(), "accept": accept}, document)
