"""The weather of a place: long-term means from a table, or a service that speaks as Open-Meteo does."""

import csv
import difflib
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Protocol

from tasks.chatbot.tools.clock import Clock
from tasks.chatbot.tools.http import get_json
from tasks.errors import MigakiError
from tasks.text.detection import detect

# WMO code table 4677 as such services group it: up to which code, in English, in Japanese.
CONDITIONS = [
    (0, "clear", "快晴"),
    (2, "fair", "晴れ"),
    (3, "cloudy", "曇り"),
    (48, "fog", "霧"),
    (57, "drizzle", "霧雨"),
    (67, "rain", "雨"),
    (77, "snow", "雪"),
    (82, "showers", "にわか雨"),
    (86, "snow showers", "にわか雪"),
    (99, "thunderstorm", "雷雨"),
]
ASKS = re.compile(
    r"\b(weather|forecast|temperature)\b(?! (service|api|app|model|data|param|sampling))|\b(is|will) it (be )?(rain|snow|sunn?|cloud|hot|cold|warm)\w*|"
    r"\bhow (hot|cold|warm) (is|will)\b|天気|気温|天候|予報|(雨|雪)(は|が)?降|(暑|寒)(い|く)",
    re.I,
)
PLACE_EN = re.compile(
    r"\b(?:in|for|at|of)\s+([A-Z][\w'’-]*(?: (?:de |la |of )?[A-Z][\w'’-]*)*(?:(?:,| and|, and) [A-Z][\w'’-]*(?: [A-Z][\w'’-]*)*)*)"
)
# Lower case counts where nothing but the weather can be meant: elsewhere it is «temperature in sampling».
PLACE_LOWER = re.compile(
    r"\b(?:weather|forecast)\b(?: like)?(?: (?:today|tomorrow))? (?:in |for |at )?([a-z][a-z '’-]*?)(?= today| tomorrow| tonight| right| now| on |[?.!,]|$)"
)
TIME_JA = r"今日|明日|明後日|あした|きょう|現在|今週|来週|今|\d{1,2}月(?:\d{1,2}日)?|[一二三四五六七八九十]{1,2}月|春|夏|秋|冬"
NAME_JA = r"[\u30a0-\u30ff\u3400-\u9fffヶ々A-Za-z]{1,12}?"
PLACE_JA = re.compile(
    rf"((?:{NAME_JA}(?:と|、|や))*{NAME_JA})(?:の(?:{TIME_JA}|いま)?の?|は|で|における)(?:天気|気温|天候|予報|今日|明日|雨|雪|どんな|暑|寒|何度)"
)
DATE = re.compile(r"\b(\d{4}-\d{2}-\d{2})\b")
DAYS = [(2, "day after tomorrow|明後日|あさって"), (1, "tomorrow|明日|あした"), (0, "today|tonight|今日|本日|きょう")]
NO_PLACE = re.compile(
    r"^(the\b.*|is|will|like|here|there|today|tomorrow|monday|tuesday|wednesday|thursday|friday|saturday|sunday|celsius|fahrenheit|今日|明日|明後日|本日|現在|今週|来週|今|[一二三四五六七八九十]*月|春|夏|秋|冬)$",
    re.I,
)
AND = re.compile(r"\s*(?:,|、|\band\b|\bor\b|と|や|および)\s*")


class Weather(Protocol):
    """Where the weather comes from."""

    def report(self, city: str, day: date, today: bool) -> str:
        """A sentence about the weather of a day, in the language of the city's name; where it is today, what it is now may be said too.

        Raises:
            MigakiError: the city is not known, or nothing came.
        """
        ...


class MeanTemperatures:
    """Long-term monthly means from a CSV table with the columns `city`, `ja` and `1` to `12`, degrees Celsius: for want of a network."""

    def __init__(self, path: Path):
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            self.rows = {
                row[name].lower(): (row["city"], row["ja"], [float(row[str(month)]) for month in range(1, 13)])
                for row in rows
                for name in ("city", "ja")
            }
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise MigakiError(f"weather table {path}: {error!r}; expected a CSV file with the columns city, ja, 1, 2, ... 12") from error

    def report(self, city: str, day: date, today: bool) -> str:
        name = re.sub("(?<=..)[市都府県]$", "", city.strip().lower())
        if name not in self.rows:
            near = difflib.get_close_matches(name, self.rows, n=1, cutoff=0.8)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise MigakiError(
                f"there is no {city!r} in the offline weather table; {hint}known: {', '.join(dict.fromkeys(row[0] for row in self.rows.values()))}"
            )
        english, japanese, means = self.rows[name]
        mean = means[day.month - 1]
        if detect(city) == "ja":
            return f"{japanese}の{day.month}月の平均気温は約{mean:g}度です(平年値。予報ではありません)。"
        return f"{english} has a mean temperature of about {mean:g} °C in {day:%B} (long-term mean, not a forecast)."


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
            found = get_json(self.weather_url, where, self.key, self.seconds)
            code, high, low = (found["daily"][name][0] for name in ("weather_code", "temperature_2m_max", "temperature_2m_min"))
            current = (found.get("current") or {}).get("temperature_2m") if today else None
            return _sentence(str(place.get("name", city)), where["date"], int(code), float(high), float(low), current, lang)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise MigakiError(f"the weather service answered in an unexpected form ({type(error).__name__} {error})") from error


def _sentence(place: str, day: str, code: int, high: float, low: float, current: float | None, lang: str) -> str:
    sky = next((names for limit, *names in CONDITIONS if code <= limit), ["unknown", "不明"])
    if lang == "ja":
        return f"{place}の{day}の天気は{sky[1]}、最高{high:g}度、最低{low:g}度です" + (
            f"(現在{current:g}度)。" if current is not None else "。"
        )
    return f"{place} on {day}: {sky[0]}, {low:g} to {high:g} °C" + (f", {current:g} °C now." if current is not None else ".")


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
    if detect(question) == "ja":
        found = PLACE_JA.findall(question)
    else:
        found = PLACE_EN.findall(question) or PLACE_LOWER.findall(question)
    places = [place.strip() for match in found for place in AND.split(match) if place.strip() and not NO_PLACE.match(place.strip())]
    return [{"city": place} | ({"date": day} if day else {}) for place in dict.fromkeys(places)]


def _day(question: str, clock: Clock) -> str | None:
    """The day a question names, as YYYY-MM-DD; None for today, which needs no name."""
    if said := DATE.search(question):
        return said[1]
    ahead = next((days for days, words in DAYS if re.search(words, question, re.I)), 0)
    return (clock.today() + timedelta(days=ahead)).isoformat() if ahead else None
