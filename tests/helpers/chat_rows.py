"""Rows of the chatbot's evaluation, as `evaluation_answers` has them."""

from typing import Any

Row = dict[str, Any]


def asked(model: str, item: str, outcome: str = "answered", suite: str = "answerable", **facts: Any) -> Row:
    """A row of one item; `correct`, `wrong` and `accepted` follow from `right` where that is given."""
    right = facts.pop("right", None)
    known = {"correct": right and outcome == "answered", "wrong": not right and outcome == "answered", "accepted": right}
    row = {
        "model": model,
        "item_id": item,
        "suite": suite,
        "outcome": outcome,
        "lang": "en",
        "document": item,
        "answer": "The kiln is hot.",
    }
    row |= {"supported": 1, "sentences": 1, "right_tool": None, "refused": False, "first_word": None, "seconds": None}
    row |= {"unsure": outcome == "unsure", "turned_away": False, "right_source": None, "characters": len(row["answer"]), "sources": []}
    return row | (known if right is not None else {"correct": None, "wrong": None, "accepted": None}) | facts


def questions(model: str, right: int, wrong: int = 0, unanswered: int = 0, told: float = 1.0, **facts: Any) -> list[Row]:
    """So many questions, each about a document of its own, each asked with and without it; without it `told` of them say that they do not know."""
    outcomes = [("answered", True)] * right + [("answered", False)] * wrong + [("unanswered", False)] * unanswered
    rows = [asked(model, f"q{i}", outcome, right=is_right, **facts) for i, (outcome, is_right) in enumerate(outcomes)]
    answered = round((1 - told) * len(outcomes))
    left = [asked(model, f"q{i}", "answered" if i < answered else "unanswered", "left_out") for i in range(len(outcomes))]
    return rows + left
