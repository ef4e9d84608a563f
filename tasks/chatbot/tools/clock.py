"""What time it is, anywhere."""

import difflib
import re
import zoneinfo
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from typing import Any

from tasks.chatbot.tools.language import languages
from tasks.errors import MigakiError
from tasks.text.language import languages as text_languages


@cache
def _zones() -> dict[str, re.Pattern[str]]:
    """Names of time zones, each with a pattern of the places in it, in any language."""
    forms: dict[str, list[str]] = {}
    for code, language in languages().items():
        border = r"\b" if text_languages()[code].WORDS_APART else ""
        for zone, names in language.ZONES.items():
            forms.setdefault(zone, []).extend(f"{border}{re.escape(name)}{border}" for name in names)
    return {zone: re.compile("|".join(names)) for zone, names in forms.items()}


@cache
def _asks() -> re.Pattern[str]:
    return re.compile("|".join(language.ASKS_TIME for language in languages().values()), re.I)


class Clock:
    """The time, for people who live in the zone `home`: theirs is meant where none is named, whatever zone the server runs in."""

    def __init__(self, home: str):
        self.home = home

    def today(self) -> date:
        """The date at home."""
        return read(self.home).date()

    def asked(self, question: str) -> list[dict[str, Any]]:
        """The zones whose time a question asks for: those it names, else the one at home."""
        if not _asks().search(question):
            return []
        named = [zone for zone, places in _zones().items() if places.search(question.lower())]
        return [{"timezone": zone} for zone in named or [self.home]]


def clock_tool(clock: Clock) -> Callable[..., str]:
    """The tool that tells the time."""

    def now(timezone: str = clock.home) -> str:
        """Tell the current date, weekday and time in a time zone of the IANA database, such as Asia/Tokyo or Europe/Paris."""
        time = read(timezone)
        weekdays = ", ".join(language.WEEKDAYS[time.weekday()] for language in languages().values())
        return f"{time:%Y-%m-%d %H:%M} ({weekdays}), {timezone}"

    return now


def read(timezone: str) -> datetime:
    """The time there.

    Raises:
        MigakiError: there is no such time zone; says which names are near.
    """
    try:
        return datetime.now(zoneinfo.ZoneInfo(timezone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        known = sorted(zoneinfo.available_timezones())
        near = difflib.get_close_matches(timezone, known, n=3, cutoff=0.4) or list(_zones())[:3]
        raise MigakiError(f"{timezone!r} is no time zone; expected one such as {', '.join(near)}") from error
