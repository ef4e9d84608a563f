"""What the chatbot is asked: the team's own questions, what follows from them, and a handful of what everybody asks."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tasks.chatbot.safety.training import Example
from tasks.data.records import FollowUp, Question, content_id
from tasks.data.twins import groups_of
from tasks.evaluation.asking import Asked, Suite

BUNDLED = Path(__file__).with_name("bundled.jsonl")
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
    groups = groups_of(questions)
    there = [(question, _there((question.document, *question.also), documents)) for question in questions]
    asked = [(question, answering) for question, answering in there if answering or not question.document]
    items = [item for question, answering in asked for item in _of_question(question, answering, documents, groups)]
    items += [item for chain in followups if (item := _of_chain(chain, documents, groups)) is not None]
    return [*_limited([*items, *_requests(requests)], limits), *bundled_items()], len(there) - len(asked)


def _limited(items: Iterable[Asked], limits: Mapping[Suite, int]) -> list[Asked]:
    items, dropped = list(items), set[int]()
    for suite, limit in limits.items():
        for lang in {item.lang for item in items}:
            own = sorted((item for item in items if (item.suite, item.lang) == (suite, lang)), key=lambda item: item.id)
            dropped |= {id(item) for item in own[limit:]}
    return [item for item in items if id(item) not in dropped]


def _there(names: Iterable[str], documents: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in documents)


def _of_question(
    question: Question, answering: tuple[str, ...], documents: Mapping[str, str], groups: Mapping[str, str]
) -> Iterator[Asked]:
    """The question as it is; with every document left out that answers it; and with those of its own language left out, where others answer it."""
    accept, group = tuple(question.accept), groups.get(question.document, question.id)

    def item(suite: Suite, left: tuple[str, ...], left_out: tuple[str, ...]) -> Asked:
        return Asked(question.id, suite, question.lang, question.question, (), accept, left, left_out, group)

    yield item("answerable", answering, ())
    if answering:
        yield item("left_out", (), answering)
    own = tuple(name for name in answering if documents[name] == question.lang)
    others = tuple(name for name in answering if name not in own)
    if own and others:
        yield item("cross_language", others, own)


def _of_chain(chain: FollowUp, documents: Mapping[str, str], groups: Mapping[str, str]) -> Asked | None:
    answering = _there((chain.document, *chain.also), documents)
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
