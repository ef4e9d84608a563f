"""Documents that answer the same questions: what belongs together when questions are dealt out or drawn again."""

from collections.abc import Sequence

from tasks.data.records import Question


def groups_of(questions: Sequence[Question]) -> dict[str, str]:
    """By document, one name for it and all that answer the same as it does, directly or by way of others."""
    group: dict[str, str] = {}
    for question in questions:
        names = [name for name in (question.document, *question.also) if name]
        joined = {group.get(name, name) for name in names}
        first = min(joined, default="")
        group = {name: first if own in joined else own for name, own in group.items()} | dict.fromkeys(names, first)
    return group
