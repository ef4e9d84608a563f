"""What a chatbot is watched by: its answers, its documents, the figures of its releases. Of what people said only `questions` gives a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.catalog import Catalog
from storage.home import Home


@dataclass(frozen=True)
class WatchedTurn:
    """An answer, with what can be counted of it."""

    turn_id: str
    conversation_id: str
    time: datetime  # UTC
    lang: str
    reason: str
    finish: str
    rating: int  # 0 where nobody rated it
    seconds: float | None
    sentences: int
    supported: int
    quoted: bool
    documents: list[str]  # names of those that it cites


@dataclass(frozen=True)
class IndexedText:
    """A document of an index: its name, the hash of its file, and when that was first in any index (UTC)."""

    path: str
    sha256: str
    since: datetime


@dataclass(frozen=True)
class ReleaseFigure:
    """A figure of the newest evaluation that a release was decided on by."""

    release_id: str
    decided: datetime  # first, UTC
    promoted: bool  # whether it ever was
    metric: str
    lang: str  # "all" for every language together
    value: float
    low: float | None
    high: float | None
    items: int


def answers(home: Home, since: datetime) -> list[WatchedTurn]:
    """The answers from a time on (UTC), in order."""
    return Catalog.of(home).select(
        WatchedTurn,
        """FROM (SELECT m.turn_id, conversation_id, m.ts AS time, coalesce(lang, 'und') AS lang, coalesce(reason, 'answered') AS reason,
                        coalesce(finish, 'stop') AS finish, coalesce(f.rating, 0) AS rating, seconds, coalesce(quoted, false) AS quoted,
                        coalesce(json_array_length(sentences), 0)::BIGINT AS sentences,
                        len(list_filter(coalesce(json_extract(sentences, '$[*].supported'), []), lambda one: one::BOOLEAN)) AS supported,
                        coalesce(list_sort(list_distinct([source->>'document' FOR source IN json_extract(sources, '$[*]')
                                 IF list_contains(json_extract(sentences, '$[*].cites[*]'), source->'number')])), []) AS documents
                 FROM messages m LEFT JOIN feedback f ON f.turn_id = m.turn_id
                 WHERE role = 'assistant' AND m.turn_id IS NOT NULL AND m.ts >= ?) ORDER BY time, turn_id""",
        [since],
    )


def questions(home: Home, turns: Sequence[str]) -> dict[str, str]:
    """The questions of those turns that are there, by turn: who deleted a conversation has deleted its questions."""
    rows = Catalog.of(home).query(
        "SELECT turn_id, content FROM messages WHERE role = 'user' AND turn_id IN (SELECT unnest(?))", [list(turns)]
    )
    return {row["turn_id"]: row["content"] for row in rows}


def indexed_texts(home: Home, index_id: str) -> list[IndexedText]:
    """The documents of an index, by name."""
    return Catalog.of(home).select(
        IndexedText,
        """FROM (SELECT path, any_value(sha256) AS sha256, min(a.created) AS since
                 FROM (SELECT path, coalesce(sha256, '') AS sha256 FROM documents WHERE artifact_id = ? AND status = 'indexed') now
                 JOIN documents d USING (path, sha256) JOIN artifacts a USING (artifact_id) GROUP BY path) ORDER BY path""",
        [index_id],
    )


def index_before(home: Home, before: datetime) -> str | None:
    """The index that gave the last answer before a time (UTC), None where none did."""
    rows = Catalog.of(home).query(
        "SELECT index_id FROM messages WHERE role = 'assistant' AND index_id IS NOT NULL AND ts < ? ORDER BY ts DESC, turn_id LIMIT 1",
        [before],
    )
    return rows[0]["index_id"] if rows else None


def release_figures(home: Home) -> list[ReleaseFigure]:
    """What evaluations say of releases that were decided on, and of the index that they were asked with; releases in the order of their first decision."""
    return Catalog.of(home).select(
        ReleaseFigure,
        """FROM (SELECT release_id, decided, promoted, metric, lang, value, low, high, coalesce(items, 0) AS items
                 FROM (SELECT release_id, min(ts) AS decided, arg_max(evaluation_id, ts) AS artifact_id,
                              bool_or(decision IN ('promote', 'rollback')) AS promoted
                       FROM promotions WHERE evaluation_id IS NOT NULL AND release_id IS NOT NULL GROUP BY release_id)
                 JOIN evaluations USING (artifact_id) WHERE model IN ('release', 'index') AND value IS NOT NULL)
           ORDER BY decided, release_id, metric, lang""",
    )
