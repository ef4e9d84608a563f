"""Weeks of planted chats in a catalog."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from storage.chat_log import Batch, Conversation, _message_rows
from storage.home import Home
from tasks.monitoring.figures import Turn
from tests.helpers.turns import turn

USUAL = (0.10, 0.12, 0.08, 0.11, 0.10, 0.09, 0.10, 0.12)
MISSING = ("Where can I park?", "駐車場はどこですか?")
KNOWN = ("Does a cat sleep here?", "猫はどこで寝ますか?")


def plant_weeks(home: Home, last: datetime, unanswered: Sequence[float], count: int = 60, missing: Sequence[str] = MISSING) -> None:
    """So many answers a week, each in a conversation of its own and every other in Japanese, of which such a share has no documents.

    Args:
        last: a time in the last week, UTC.
    """
    batch = Batch()
    for back, share in enumerate(reversed(unanswered)):
        for number in range(count):
            said = _answer(number, number < round(share * count), missing)
            name, time = f"w{back}-{number}", last - timedelta(weeks=back)
            talk = Conversation("m", None, "page", owner="ann", conversation_id=f"c-{name}", started=time)
            rows = _message_rows(talk.conversation_id, turn(name, **said))
            batch.conversations.append(asdict(talk))
            batch.messages += [row | {"ts": time} for row in rows]
    batch.write(home)


def turns_of_weeks(last: datetime, unanswered: Sequence[float], count: int = 60) -> list[Turn]:
    """The same answers as they are watched."""
    return [
        Turn(
            f"w{back}-{number}",
            f"c{back}-{number}",
            last - timedelta(weeks=back),
            said["lang"],
            reason,
            "stop",
            0,
            said["seconds"],
            1,
            1,
            False,
            documents,
        )
        for back, share in enumerate(reversed(unanswered))
        for number in range(count)
        for said in [_answer(number, number < round(share * count), MISSING)]
        for reason, documents in [(said.get("reason", "answered"), () if "reason" in said else ("a.md",))]
    ]


def _answer(number: int, is_missing: bool, missing: Sequence[str]) -> dict:
    lang, seconds = ("en", "ja")[number % 2], 1.0 + number % 7 / 10
    if is_missing:
        return {
            "lang": lang,
            "question": missing[number % len(missing)],
            "reason": "unanswered",
            "sources": [],
            "sentences": [],
            "seconds": seconds,
        }
    return {"lang": lang, "question": KNOWN[number % 2], "seconds": seconds}
