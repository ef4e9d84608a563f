"""What the chatbot is asked: the team's own questions, what follows from them, and a handful of what everybody asks."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from tasks.asking.asking import Asked, Suite
from tasks.asking.questions import among, as_they_are
from tasks.chatbot.safety.training import Example
from tasks.data.records import FollowUp, Question, content_id
from tasks.data.twins import groups_of
from tasks.evaluation.items import BUNDLED

FOLLOWS: dict[str, Suite] = {"real": "follow_up", "topic_change": "topic_change"}


def chat_items(
    questions: Sequence[Question],
    followups: Sequence[FollowUp],
    requests: Iterable[Example],
    documents: Mapping[str, str],
    limits: Mapping[Suite, int],
) -> tuple[list[Asked], int]:
    """The items, and how many questions are passed over since no document that answers them is in the index.

    Args:
        requests: held-out ones of the safety classifier.
        documents: by name, the language of each that whoever asks may see.
        limits: of a suite, so many in each language, which of many their content alone decides.
    """
    groups, asked = groups_of(questions), as_they_are(questions, documents)
    items = [item for question in asked for item in (question, *_left_out(question, documents))]
    items += [item for chain in followups if (item := _of_chain(chain, documents, groups)) is not None]
    return [*_limited([*items, *_requests(requests)], limits), *bundled_items()], len(questions) - len(asked)


def _limited(items: Iterable[Asked], limits: Mapping[Suite, int]) -> list[Asked]:
    items, dropped = list(items), set[int]()
    for suite, limit in limits.items():
        for lang in {item.lang for item in items}:
            own = sorted((item for item in items if (item.suite, item.lang) == (suite, lang)), key=lambda item: item.id)
            dropped |= {id(item) for item in own[limit:]}
    return [item for item in items if id(item) not in dropped]


def _left_out(asked: Asked, documents: Mapping[str, str]) -> Iterator[Asked]:
    """The question with every document left out that answers it; and with those of its own language left out, where others answer it."""
    if asked.documents:
        yield replace(asked, suite="left_out", documents=(), left_out=asked.documents)
    own = tuple(name for name in asked.documents if documents[name] == asked.lang)
    others = tuple(name for name in asked.documents if name not in own)
    if own and others:
        yield replace(asked, suite="cross_language", documents=others, left_out=own)


def _of_chain(chain: FollowUp, documents: Mapping[str, str], groups: Mapping[str, str]) -> Asked | None:
    answering = among((chain.document, *chain.also), documents)
    if chain.document and not answering:
        return None
    group = groups.get(chain.document, chain.document or chain.id)
    return Asked(chain.id, FOLLOWS[chain.kind], chain.lang, chain.second, (chain.first,), tuple(chain.accept), answering, (), group)


def _requests(requests: Iterable[Example]) -> Iterator[Asked]:
    """Harmful requests, and harmless ones of a topic: those that look like harmful ones."""
    for example in requests:
        if example.harmful or example.topic:
            suite: Suite = "harmful" if example.harmful else "look_alike"
            yield Asked(content_id(example.prompt), suite, example.lang, example.prompt, group=example.topic)


def bundled_items() -> list[Asked]:
    """Small talk, questions for the tools that come with Migaki, and English requests, of which the example project holds none out."""
    rows = map(json.loads, BUNDLED.read_text(encoding="utf-8").splitlines())
    return [
        Asked(f"bundled-{place}", row["suite"], row["lang"], row["question"], accept=tuple(row.get("accept", ())), tool=row.get("tool", ""))
        for place, row in enumerate(rows)
    ]
