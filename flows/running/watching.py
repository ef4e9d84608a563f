"""What `migaki monitor` reads of a home, and what it keeps: figures, and which turns are of one group. Their texts stay where the chats are, so that what
somebody deletes is gone from here too.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.running.events import MONITOR_ALERT, emit
from storage.artifacts import ArtifactStore
from storage.catalog import utc_now
from storage.chat_log import recover
from storage.files import replacing
from storage.home import Home
from storage.queries.watched import answers, index_before, indexed_texts, questions, release_figures
from storage.registry import champion_index, record_metrics
from tasks.monitoring.drift import SAMPLE, Drift, IndexDrift, drift, index_drift
from tasks.monitoring.figures import Turn, by_week
from tasks.monitoring.grouping import group
from tasks.monitoring.questions import embedded
from tasks.monitoring.ranges import Point, Rule
from tasks.monitoring.settings import MonitorSettings
from tasks.monitoring.watched import Questions, Watched, has_drifted, last_whole_week, over_releases, weekly
from tasks.monitoring.weeks import WEEK, begin_of

if TYPE_CHECKING:
    from tasks.rag.embedding import Embedder
    from tasks.rag.meaning import Meaning

KEPT, MONITOR_PAGE = "monitor.json", "/monitor"
EXAMPLES = 3  # questions of a group that are shown


def watch(home: Home, settings: MonitorSettings, meaning: "Meaning | None", without: str = "", now: datetime | None = None) -> Watched:
    """The chatbot of a home as it is watched.

    Args:
        meaning: the embedders of the index that serves; None compares and groups no questions, for the reason `without`.
        now: UTC (default: this moment).

    Raises:
        StorageError: the catalog cannot be read or written.
    """
    recover(home)
    now = now or utc_now()
    week, rule, shown = last_whole_week(now, settings.zone), rule_of(settings), max(settings.weeks, settings.history + 1)
    turns = [
        Turn(**asdict(row) | {"documents": tuple(row.documents)})
        for row in answers(home, begin_of(week - (shown - 1) * WEEK, settings.zone))
    ]
    weeks = by_week(turns, settings.zone)
    judged = weeks.get(week, [])
    compared, conversations = (None, 0) if meaning is None else _drift(home, meaning, judged, weeks, week, settings)
    figures = [(row.metric, row.lang, Point(row.release_id, row.value, row.low, row.high, row.items)) for row in release_figures(home)]
    return Watched(
        now.isoformat(timespec="seconds"),
        settings.zone,
        week.isoformat(),
        figures[-1][2].at if figures else "",
        len(judged),
        (*weekly(turns, now, settings.zone, rule), *over_releases(figures, rule, shown)),
        compared,
        has_drifted(compared, conversations, settings.drift_level, settings.least_items),
        _index_drift(home, turns, begin_of(week, settings.zone), now),
        None if meaning is None else _missing(home, meaning, turns, week - (settings.grouped_weeks - 1) * WEEK, settings),
        without,
    )


def rule_of(settings: MonitorSettings) -> Rule:
    return Rule(settings.deviations, settings.history, min(settings.least_history, settings.history), settings.least_items)


def _drift(
    home: Home, meaning: "Meaning", judged: Sequence[Turn], weeks: Mapping[date, Sequence[Turn]], week: date, settings: MonitorSettings
) -> tuple[Drift | None, int]:
    """The questions of the week against those of the weeks before it, and of how many conversations they are."""
    before = [turn for monday, turns in weeks.items() if week - settings.history * WEEK <= monday < week for turn in turns]
    rng = np.random.default_rng(0)
    drawn = [_sample(turns, rng) for turns in (judged, before)]
    asked = questions(home, [turn.turn_id for turns in drawn for turn in turns])
    own, earlier = ([turn for turn in turns if asked.get(turn.turn_id)] for turns in drawn)
    if not (own and earlier):
        return None, 0
    vectors = meaning.embedder.embed_queries([asked[turn.turn_id] for turn in (*own, *earlier)])
    found = drift(
        vectors[: len(own)], vectors[len(own) :], [turn.conversation_id for turn in own], [turn.conversation_id for turn in earlier]
    )
    return found, len({turn.conversation_id for turn in own})


def _sample(turns: Sequence[Turn], rng: np.random.Generator) -> Sequence[Turn]:
    if len(turns) <= SAMPLE:
        return turns
    return [turns[place] for place in sorted(rng.choice(len(turns), SAMPLE, replace=False))]


def _index_drift(home: Home, turns: Sequence[Turn], begin: datetime, now: datetime) -> IndexDrift | None:
    """The documents of the index that serves against those of the one that served before the week began; None before there is an index."""
    serving, before = champion_index(home), index_before(home, begin)
    documents = indexed_texts(home, serving.artifact_id) if serving else []
    if not documents:
        return None
    now_has = {one.path: one.sha256 for one in documents}
    then = {one.path: one.sha256 for one in indexed_texts(home, before)} if before else {}
    cited = {name for turn in turns for name in turn.documents}
    return index_drift(now_has, then or now_has, {one.path: one.since for one in documents}, cited, now)


def _missing(home: Home, meaning: "Meaning", turns: Sequence[Turn], since: date, settings: MonitorSettings) -> Questions:
    """What people asked that no document answers, grouped."""
    from tasks.chatbot.safety.learning import speaks_of_health  # with all patterns of what is private
    from tasks.rag.labels import quoting

    begin, store, index = begin_of(since, settings.zone), ArtifactStore(home), champion_index(home)
    lang = {turn.turn_id: turn.lang for turn in turns if turn.reason == "unanswered" and turn.time >= begin}
    asked = questions(home, list(lang))
    restricted = quoting(store.path(store.get(index.artifact_id)), asked.values()) if index else set[str]()
    open_ones = [
        (turn, lang[turn], asked[turn])
        for turn in lang
        if turn in asked and asked[turn] not in restricted and not speaks_of_health(asked[turn])
    ]
    found = group(open_ones, lambda lang, texts: embedded(_embedders(meaning, lang), lang, texts), settings.alike)
    return Questions(since.isoformat(), len(lang), len(lang) - len(open_ones), tuple(found))


def _embedders(meaning: "Meaning", lang: str) -> list["Embedder"]:
    """The index's own, and its companion where the language has one."""
    return [meaning.embedder, *([meaning.companions[lang].embedder] if lang in meaning.companions else [])]


def keep_watched(home: Home, found: Watched, charts: dict[str, str], run_id: str) -> list[str]:
    """Tell Prefect's server of alerts that were not told before, put what was found in the place of what was there, and enter the week's figures into
    `metrics`; returns the new alerts in words."""
    earlier = (read_kept(home) or {}).get("alerts", {})
    new = [words for name, words in found.alerts.items() if name not in earlier]
    if new:  # before they are kept: who dies in between tells them again
        emit(home, MONITOR_ALERT, "monitor", found.week, {"week": found.week, "reason": "; ".join(new), "alerts": new})
    home.reports.mkdir(exist_ok=True)
    with replacing(home.reports / KEPT) as draft:
        draft.write_text(json.dumps(asdict(found) | {"alerts": found.alerts, "charts": charts}, ensure_ascii=False), encoding="utf-8")
    judged = [one for one in found.series if one.kind == "week" and one.points and one.points[-1].at == found.week]
    last = {f"monitor.{one.figure}.{one.lang}": one.points[-1].value for one in judged}
    drifted = {"monitor.drift.distance": found.drift.distance, "monitor.drift.p": found.drift.p} if found.drift else {}
    record_metrics(home, run_id, last | drifted | {"monitor.alerts": len(found.alerts)})
    return new


def read_kept(home: Home) -> dict[str, Any] | None:
    """What the last `migaki monitor` kept; None before the first."""
    path = home.reports / KEPT
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def read_watched(home: Home) -> dict[str, Any] | None:
    """What was kept, with the questions that are still there as they may be shown: `asked` and `examples` of each group, and of one whose questions were
    all deleted nothing."""
    kept = read_kept(home)
    if kept and kept["questions"]:
        kept["questions"]["groups"] = shown_groups(home, kept["questions"]["groups"])
    return kept


def shown_groups(home: Home, groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups as people see them: how many asked, and the first questions, what is private being masked."""
    from tasks.chatbot.safety.learning import mask

    there = questions(home, [turn for one in groups for turn in one["turns"]])
    found = []
    for one in groups:
        texts = [there[turn] for turn in one["turns"] if turn in there]
        if texts:
            found.append(
                {"lang": one["lang"], "asked": len(texts), "examples": [mask(text).text for text in dict.fromkeys(texts)][:EXAMPLES]}
            )
    return sorted(found, key=lambda one: -one["asked"])
