"""Which records stay: duplicates and leaks out, a held-out share by content hash, a balanced cut to a limit."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tasks.data.duplicates import near_duplicates, normalised

EVAL_BUCKETS = 10_000


def is_held_out(record_id: str, share: float) -> bool:
    """Decided by the record's own content, so a row keeps its side when others are added."""
    return int(record_id[:12], 16) % EVAL_BUCKETS < share * EVAL_BUCKETS


def drop_duplicates(records: list, text_of: Callable[[Any], str], threshold: float) -> tuple[list, list[tuple[Any, str, str]]]:
    """(kept, dropped with reason and detail): equal texts after normalisation, then near duplicates."""
    first: dict[str, Any] = {}
    unique, dropped = [], []
    for record in records:
        key = normalised(text_of(record))
        if key in first:
            dropped.append((record, "duplicate", f"says the same as {first[key].id}"))
        else:
            first[key] = record
            unique.append(record)
    repeats = near_duplicates([text_of(record) for record in unique], threshold)
    dropped += [(unique[index], "near duplicate", f"much like {unique[earlier].id}") for index, earlier in repeats.items()]
    return [record for index, record in enumerate(unique) if index not in repeats], dropped


def drop_leaks(records: list, asked_of: Callable[[Any], str], questions: list, threshold: float) -> tuple[list, list[tuple[Any, str, str]]]:
    """(kept, dropped): rows that ask what a held-out question asks would let a model learn its answer."""
    asked = [question.question for question in questions]
    repeats = near_duplicates([*asked, *[asked_of(record) for record in records]], threshold)
    known = {normalised(text) for text in asked}
    kept, dropped = [], []
    for index, record in enumerate(records):
        leak = repeats.get(index + len(asked), len(asked)) < len(asked) or normalised(asked_of(record)) in known
        if leak:
            dropped.append((record, "leak", "asks a held-out question"))
        else:
            kept.append(record)
    return kept, dropped


def balanced(records: list, limit: int) -> tuple[list, list]:
    """(kept, left out): at most `limit` records, as many of each language as there are, in an order that only their ids decide. 0 keeps all."""
    if not limit or len(records) <= limit:
        return records, []
    queues: dict[str, list] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.id):
        queues[record.lang].append(record)
    kept: list = []
    while len(kept) < limit:
        for queue in queues.values():
            if queue and len(kept) < limit:
                kept.append(queue.pop(0))
    return kept, [record for queue in queues.values() for record in queue]
