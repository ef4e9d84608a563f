"""The weather of a place: long-term means from a table, or a service that speaks as Open-Meteo does."""

import csv
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Protocol

from tasks.chatbot.tools.clock import Clock
from tasks.chatbot.tools.http import get_json
from tasks.chatbot.tools.language import languages
from tasks.errors import MigakiError
from tasks.text.detection import detect

# Of WMO code table 4677 as such services group it: the last code of each kind of weather.
CODES = (0, 2, 3, 48, 57, 67, 77, 82, 86, 99)
DATE = re.compile(r"\b(\d{4}-\d{2}-\d{2})\b")
ASKS = re.compile("|".join(language.ASKS_WEATHER for language in languages().values()), re.I)
NO_PLACE = re.compile(f"^({'|'.join(language.NO_PLACE for language in languages().values())})$", re.I)
AND = re.compile(rf"\s*(?:,|{'|'.join(language.AND for language in languages().values())})\s*")
ENDING = re.compile(f"(?<=..)(?:{'|'.join(language.PLACE_ENDING for language in languages().values())})$")
# The day after tomorrow first: its name may hold tomorrow's.
DAYS_AHEAD = {
    days: re.compile("|".join(words for language in languages().values() if (words := language.DAYS_AHEAD.get(days))), re.I)
    for days in sorted({days for language in languages().values() for days in language.DAYS_AHEAD}, reverse=True)
}
NAMES = "city"  # the column of a table that names a city where a language has none of its own


class Weather(Protocol):
    """Where the weather comes from."""

    def report(self, city: str, day: date, today: bool) -> str:
        """A sentence about the weather of a day, in the language of the city's name; where it is today, what it is now may be said too.

        Raises:
            MigakiError: the city is not known, or nothing came.
        """
        ...


@dataclass(frozen=True)
class City:
    """A row of the table: its name, its names by language, and its mean temperature by month."""

    name: str
    names: dict[str, str]
    means: list[float]

    @classmethod
    def of(cls, row: dict[str, str]) -> "City":
        """Raises KeyError, TypeError or ValueError: a column is missing, or a cell is no number."""
        names = {code: row.get(language.CITY_COLUMN, row[NAMES]) for code, language in languages().items()}
        return cls(row[NAMES], names, [float(row[str(month)]) for month in range(1, 13)])


class MeanTemperatures:
    """Long-term monthly means from a CSV table, degrees Celsius: for want of a network. Its columns are `city`, one for the names in each other
    language (`ja`), and `1` to `12`."""

    def __init__(self, path: Path):
        try:
            with path.open(encoding="utf-8", newline="") as file:
                cities = [City.of(row) for row in csv.DictReader(file)]
        except (OSError, KeyError, TypeError, ValueError) as error:
            columns = ", ".join(dict.fromkeys([NAMES, *(language.CITY_COLUMN for language in languages().values())]))
            raise MigakiError(f"weather table {path}: {error!r}; expected a CSV file with the columns {columns}, 1, 2, ... 12") from error
        self.cities = {name.lower(): city for city in cities for name in city.names.values()}

    def report(self, city: str, day: date, today: bool) -> str:
        name = ENDING.sub("", city.strip().lower())
        if name not in self.cities:
            near = difflib.get_close_matches(name, self.cities, n=1, cutoff=0.8)
            hint = f"did you mean {near[0]!r}? " if near else ""
            known = dict.fromkeys(one.name for one in self.cities.values())
            raise MigakiError(f"there is no {city!r} in the offline weather table; {hint}known: {', '.join(known)}")
        lang, one = detect(city), self.cities[name]
        return languages()[lang].MEAN.format(city=one.names[lang], mean=one.means[day.month - 1], day=day)


class WeatherService:
    """A forecast by HTTP.

    `places_url` (with `{city}`, `{lang}`) gives `results[0]` with `name`, `latitude`, `longitude`; `weather_url` (with `{latitude}`, `{longitude}`,
    `{date}`) gives `daily` with `weather_code`, `temperature_2m_max`, `temperature_2m_min`, each a list with one value, and, for today, may give
    `current` with `temperature_2m`.
    """

    def __init__(self, weather_url: str, places_url: str, key: str = "", seconds: float = 8.0):
        self.weather_url, self.places_url, self.key, self.seconds = weather_url, places_url, key, seconds

    def report(self, city: str, day: date, today: bool) -> str:
        lang = detect(city)
        places = get_json(self.places_url, {"city": city, "lang": lang}, self.key, self.seconds).get("results")
        if not places:
            raise MigakiError(f"the weather service knows no place called {city!r}")
        try:
            place = places[0]
            where = {"latitude": place["latitude"], "longitude": place["longitude"], "date": day.isoformat()}
            answer = get_json(self.weather_url, where, self.key, self.seconds)
            code, high, low = (answer["daily"][name][0] for name in ("weather_code", "temperature_2m_max", "temperature_2m_min"))
            current = (answer.get("current") or {}).get("temperature_2m") if today else None
            language = languages()[lang]
            now = language.NOW.format(current=current) if current is not None else ""
            facts = {"day": where["date"], "sky": _sky(int(code), lang), "low": float(low), "high": float(high), "now": now}
            return language.FORECAST.format(place=place.get("name", city), **facts)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise MigakiError(f"the weather service answered in an unexpected form ({type(error).__name__} {error})") from error


def _sky(code: int, lang: str) -> str:
    language = languages()[lang]
    return next((language.SKY[last] for last in CODES if code <= last), language.UNKNOWN_SKY)


def weather_tool(provider: Weather, clock: Clock) -> Callable[..., str]:
    """The tool over a provider."""

    def get_weather(city: str, date: date | None = None) -> str:
        """Get the weather of a city, today or on a date (YYYY-MM-DD)."""
        return provider.report(city, date or clock.today(), date is None)

    return get_weather


def weather_asked(question: str, clock: Clock) -> list[dict[str, Any]]:
    """The cities, and the day by that clock, whose weather a question asks for; none where it names no place."""
    if not ASKS.search(question):
        return []
    day = _day(question, clock)
    named = [place.strip() for several in languages()[detect(question)].places(question) for place in AND.split(several)]
    places = dict.fromkeys(place for place in named if place and not NO_PLACE.match(place))
    return [{"city": place} | ({"date": day} if day else {}) for place in places]


def _day(question: str, clock: Clock) -> str | None:
    """The day a question names, as YYYY-MM-DD; None for today, which needs no name."""
    if said := DATE.search(question):
        return said[1]
    ahead = next((days for days, words in DAYS_AHEAD.items() if words.search(question)), 0)
    return (clock.today() + timedelta(days=ahead)).isoformat() if ahead else None
