"""Which records stay: duplicates and leaks out, a held-out share by content hash, a balanced cut to a limit."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tasks.data.duplicates import near_duplicates, normalised, quotes, without_shared
from tasks.data.records import content_id
from tasks.text.messages import Message, said

EVAL_BUCKETS = 10_000
Dropped = list[tuple[Any, str, str]]  # record, reason, detail


def is_held_out(name: str, share: float) -> bool:
    """Decided by a hash of content alone, so a row keeps its side when others are added."""
    return int(name[:12], 16) % EVAL_BUCKETS < share * EVAL_BUCKETS


def asked(messages: list[Message]) -> str:
    """What a conversation asks, hashed: rows of any kind that share their prompt fall on one side of the split."""
    return content_id(*[normalised(turn["content"]) for turn in messages])


def drop_duplicates(
    records: list, parts_of: Callable[[Any], tuple[str, ...]], threshold: float, context_of: Callable[[Any], str] | None = None
) -> tuple[list, Dropped]:
    """(kept, dropped): equal texts after normalisation, then near duplicates. The first of each stays.

    Args:
        parts_of: what a record asks last and its answers, or its only text.
        context_of: what came before that, where records are conversations.
    """
    first: dict[tuple[str, ...], Any] = {}
    unique, dropped = [], []
    for record in records:
        key = tuple(normalised(part) for part in (*parts_of(record), *([context_of(record)] if context_of else [])))
        if key in first:
            dropped.append((record, "duplicate", f"says the same as {first[key].id}"))
        else:
            first[key] = record
            unique.append(record)
    parts = [parts_of(record) for record in unique]
    if context_of:
        apart = without_shared([part[0] for part in parts])
        parts = [(own, *part[1:]) for (own, _), part in zip(apart, parts, strict=True)]
        repeats = near_duplicates(parts, threshold, [context_of(record) for record in unique], [shared for _, shared in apart])
    else:
        repeats = near_duplicates(parts, threshold)
    dropped += [(unique[index], "near duplicate", f"much like {unique[earlier].id}") for index, earlier in repeats.items()]
    return [record for index, record in enumerate(unique) if index not in repeats], dropped


def asked_last(messages: list[Message]) -> str:
    """The last question of a conversation, and what tools gave since."""
    return "\n\n".join(map(said, messages[_last_question(messages) :]))


def before_it(messages: list[Message]) -> str:
    """What came before the last question of a conversation, system text included."""
    return "\n\n".join(map(said, messages[: _last_question(messages)]))


def _last_question(messages: list[Message]) -> int:
    return max((place for place, message in enumerate(messages) if message["role"] == "user"), default=len(messages) - 1)


def drop_contradictions(pairs: list) -> tuple[list, Dropped]:
    """(kept, dropped): pairs whose two answers are preferred the other way round by another row. Nobody knows which is right, so both go."""
    order: dict[tuple, dict[str, Any]] = {}
    for pair in pairs:
        if not pair.tie:
            chosen, rejected = normalised(pair.chosen), normalised(pair.rejected)
            order.setdefault((asked(pair.messages), *sorted((chosen, rejected))), {}).setdefault(chosen, pair)
    kept, dropped = [], []
    for pair in pairs:
        sides = order.get((asked(pair.messages), *sorted((normalised(pair.chosen), normalised(pair.rejected)))), {})
        other = sides.get(normalised(pair.rejected)) if len(sides) == 2 and not pair.tie else None
        if other is None:
            kept.append(pair)
        else:
            dropped.append((pair, "contradiction", f"{other.id} prefers the other answer"))
    return kept, dropped


def drop_disputed(rows: list) -> tuple[list, Dropped]:
    """(kept, dropped): unpaired feedback on an answer that one row likes and another does not. As with pairs, nobody knows which is right, so all go:
    to KTO the two would be an answer that is pulled both ways, and a majority among a few thumbs is no measurement."""
    sides: dict[str, dict[bool, Any]] = {}
    names = [content_id(asked(row.messages), normalised(row.completion)) for row in rows]
    for name, row in zip(names, rows, strict=True):
        sides.setdefault(name, {}).setdefault(row.liked, row)
    kept, dropped = [], []
    for name, row in zip(names, rows, strict=True):
        other = sides[name].get(not row.liked)
        if other is None:
            kept.append(row)
        else:
            dropped.append((row, "contradiction", f"{other.id} {'likes' if other.liked else 'does not like'} the same answer"))
    return kept, dropped


def drop_leaks(records: list, prompt_of: Callable[[Any], str], questions: list, threshold: float) -> tuple[list, Dropped]:
    """(kept, dropped): rows that ask, or quote within a longer prompt, what a held-out question asks."""
    known = {normalised(question.question): index for index, question in enumerate(questions)}
    held = quotes([prompt_of(record) for record in records], [question.question for question in questions], threshold)
    kept, dropped = [], []
    for index, record in enumerate(records):
        leak = held.get(index, known.get(normalised(prompt_of(record))))
        if leak is None:
            kept.append(record)
        else:
            dropped.append((record, "leak", f"asks the held-out question {questions[leak].id}: {questions[leak].question}"))
    return kept, dropped


def balanced(records: list, limit: int) -> tuple[list, list]:
    """(kept, left out): at most `limit` records, as many of each language as there are, in an order that only their ids decide. 0 keeps all."""
    if not limit or len(records) <= limit:
        return records, []
    queues: dict[str, list] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.id, reverse=True):
        queues[record.lang].append(record)
    kept: list = []
    while len(kept) < limit:
        for lang in sorted(queues):
            if queues[lang] and len(kept) < limit:
                kept.append(queues[lang].pop())
    return kept, [record for queue in queues.values() for record in queue]
