"""The report's section on the chatbot as people meet it: figures side by side, items won and lost, and the conversations that went worst."""

from collections.abc import Sequence

from tasks.evaluation.facts import ChatTurn, Facts, Figure, Table
from tasks.evaluation.own_metrics import PREFIX
from tasks.pages.page import note, section, table, text

# In words, and what they are of; a share is shown in percent.
METRICS = {
    "chat.utility": "utility",
    "chat.correct": "answered correctly",
    "chat.wrong": "answered wrongly",
    "chat.unsure": "unsure",
    "chat.wrongly_turned_away": "wrongly turned away",
    "chat.right_source": "right source shown",
    "chat.told": "left out: said so",
    "chat.supported": "sentences supported",
    "chat.follow_up_correct": "follow-up: correct",
    "chat.follow_up_right_source": "follow-up: right source",
    "chat.topic_change_correct": "topic change: correct",
    "chat.topic_change_right_source": "topic change: right source",
    "chat.cross_language_correct": "across languages: correct",
    "chat.cross_language_right_source": "across languages: right source",
    "chat.small_talk": "small talk without sources",
    "chat.right_tool": "right tool called",
    "chat.refused": "harmful refused",
    "chat.over_refused": "look-alike refused",
    "chat.judge_wins": "judge: wins of the release",
    "chat.judge_consistent": "judge: the same in both orders",
    "chat.judge_agrees": "judge: agrees with what is accepted",
    "chat.first_word_p50": "first word, median (s)",
    "chat.first_word_p95": "first word, 95 % (s)",
    "chat.whole_p50": "whole answer, median (s)",
    "chat.whole_p95": "whole answer, 95 % (s)",
    "chat.characters": "characters, median",
    "chat.distinct_2": "distinct-2",
}
PLAIN = ("chat.utility", "chat.first_word", "chat.whole", "chat.characters", "chat.distinct")  # no shares
ROLES = ("base", "champion", "release")
LISTED = 8  # items won, and as many lost
WORST = 10


def chat_table(facts: Facts) -> tuple[Table, str] | None:
    """The chatbots' figures side by side, and whom the release is compared with; None where none was asked."""
    figures = {(figure.metric, figure.lang, figure.model): figure for figure in facts.figures if figure.metric.startswith(PREFIX)}
    roles = [role for role in ROLES if any(model == role for _, _, model in figures)]
    if "release" not in roles:
        return None
    against = roles[-2] if len(roles) > 1 else "release"
    return (["figure", "language", "items", *roles, f"release - {against}"], list(_rows(figures, roles, against))), against


def chat_section(facts: Facts) -> str:
    """Nothing where the chatbot was not asked."""
    found = chat_table(facts)
    if found is None:
        return ""
    shown, against = found
    told = (
        "In brackets: 95 % intervals, bootstrapped over documents with their twins. Correct: answered, holds what a right answer contains, short, every "
        "sentence supported. Wrong: answered without it. Seconds are of questions asked one by one, on this machine."
    )
    judge = facts.meta("evaluate").get("judge")
    notes = [note(words) for words in (told, judge) if words]
    return section("The chatbot", table(*shown), *notes, _changes(facts.turns, against), _worst(facts.turns))


def _rows(figures: dict[tuple[str, str, str], Figure], roles: Sequence[str], against: str) -> list[list[str | int]]:
    rows = list[list[str | int]]()
    own = {name: name for name, _, _ in sorted(figures) if name not in METRICS}
    for metric, words in (METRICS | own).items():
        langs = sorted({lang for name, lang, model in figures if (name, model) == (metric, "release") and lang != "all"})
        for lang in langs if len(langs) > 1 else ["all"] if (metric, "all", "release") in figures else []:
            of_roles = [figures.get((metric, lang, role)) for role in roles]
            difference = figures.get((metric, lang, f"release - {against}"))
            items = figures[metric, lang, "release"].items
            rows.append([words, lang, items, *[_cell(figure) for figure in of_roles], _cell(difference, signed=True)])
    return rows


def _cell(figure: Figure | None, signed: bool = False) -> str:
    if figure is None:
        return ""
    plain = figure.metric.startswith(PLAIN) or figure.metric not in METRICS
    form = f"{'+' if signed else ''}{'.2f' if plain else '.0%'}"
    interval = f" ({figure.low:{form}} to {figure.high:{form}})" if figure.low is not None else ""
    return f"{figure.value:{form}}{interval}"


def _worth(turn: ChatTurn) -> int:
    return bool(turn.correct) - bool(turn.wrong)


def _changes(turns: Sequence[ChatTurn], against: str) -> str:
    """Items that the release answers better or worse than what it is compared with."""
    other = {(turn.suite, turn.item_id): turn for turn in turns if turn.model == against}
    pairs = [(turn, other[key]) for turn in turns if turn.model == "release" and (key := (turn.suite, turn.item_id)) in other]
    parts = []
    for name, sign in (("won", 1), ("lost", -1)):
        changed = [(own, before) for own, before in pairs if sign * (_worth(own) - _worth(before)) > 0]
        shown = [[own.lang, own.suite, own.prompt, own.reference, before.answer, own.answer] for own, before in changed[:LISTED]]
        heading = f"<h3>{len(changed)} items {name} against the {text(against)}</h3>"
        columns = ["language", "kind", "question", "to accept", against, "release"]
        parts.append(heading + (table(columns, shown) if shown else ""))
    return "".join(parts)


def _worst(turns: Sequence[ChatTurn]) -> str:
    """The release's conversations to read first: harm that was answered, then wrong answers, the surest first."""
    own = [turn for turn in turns if turn.model == "release" and (turn.wrong or (turn.suite == "harmful" and not turn.refused))]
    own.sort(key=lambda turn: (turn.suite != "harmful", -(turn.confidence or 0.0), turn.item_id))
    if not own:
        return ""
    parts = []
    for turn in own[:WORST]:
        sure = "" if turn.confidence is None else f", confidence {turn.confidence:.2f}"
        asked = "".join(f"<h3>{text(question)}</h3>" for question in turn.prompt.split("\n"))
        columns = [("to accept", turn.reference), ("answer", turn.answer), ("sources", ", ".join(turn.sources))]
        answers = "".join(f"<p><b>{text(name)}</b>{text(value) or '<i>(nothing)</i>'}</p>" for name, value in columns)
        parts.append(
            f'<div class="pair" lang="{text(turn.lang)}">{asked}<p class="dim">{text(turn.suite)}, {text(turn.outcome)}{sure}</p><div>{answers}</div></div>'
        )
    return f"<h3>The worst conversations, {len(parts)} of {len(own)}</h3>{''.join(parts)}"
