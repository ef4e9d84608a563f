"""What time it is, anywhere."""

import difflib
import re
import zoneinfo
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from tasks.errors import MigakiError
from tasks.text.detection import detect

DAYS = "月火水木金土日"
ZONES = {
    "Asia/Tokyo": ("tokyo", "japan", "東京", "日本"),
    "Europe/London": ("london", "england", "uk", "ロンドン", "イギリス", "英国"),
    "Europe/Paris": ("paris", "france", "パリ", "フランス"),
    "Europe/Berlin": ("berlin", "germany", "ベルリン", "ドイツ"),
    "America/New_York": ("new york", "ニューヨーク"),
    "America/Los_Angeles": ("los angeles", "san francisco", "california", "ロサンゼルス", "サンフランシスコ", "カリフォルニア"),
    "America/Sao_Paulo": ("sao paulo", "brazil", "サンパウロ", "ブラジル"),
    "Asia/Singapore": ("singapore", "シンガポール"),
    "Asia/Shanghai": ("shanghai", "beijing", "china", "上海", "北京", "中国"),
    "Asia/Seoul": ("seoul", "korea", "ソウル", "韓国"),
    "Asia/Kolkata": ("delhi", "mumbai", "india", "インド", "デリー", "ムンバイ"),
    "Australia/Sydney": ("sydney", "シドニー"),
    "UTC": ("utc", "gmt", "協定世界時"),
}
ASKS = re.compile(
    r"\b(what('?s| is) the (current |local )?(time|date)|what (time|day|date) is it|what day (of the week )?is (it|today)|current (time|date)|"
    r"(time|date) (right )?now|today'?s date|what('?s| is) today)\b|"
    r"(いま|今|現在)(は|の)?、?(何時|時刻|時間(は|を))|(今日|本日|きょう)(は|の)?、?(何日|何曜日?|日付|何月)|何時(です|か教えて)|現在(の)?(日時|時刻)",
    re.I,
)


class Clock:
    """The time, for people who live in the zone `home`: theirs is meant where none is named, whatever zone the server runs in."""

    def __init__(self, home: str):
        self.home = home

    def today(self) -> date:
        """The date at home."""
        return read(self.home).date()

    def asked(self, question: str) -> list[dict[str, Any]]:
        """The zones whose time a question asks for: those it names, else the one at home."""
        if not ASKS.search(question):
            return []
        text = question.lower()
        named = [zone for zone, names in ZONES.items() if any(_names(name, text) for name in names)]
        return [{"timezone": zone} for zone in named or [self.home]]


def clock_tool(clock: Clock) -> Callable[..., str]:
    """The tool that tells the time."""

    def now(timezone: str = clock.home) -> str:
        """Tell the current date, weekday and time in a time zone of the IANA database, such as Asia/Tokyo or Europe/Paris."""
        time = read(timezone)
        return f"{time:%Y-%m-%d %H:%M} ({time:%A}, {DAYS[time.weekday()]}曜日), {timezone}"

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
        near = difflib.get_close_matches(timezone, known, n=3, cutoff=0.4) or list(ZONES)[:3]
        raise MigakiError(f"{timezone!r} is no time zone; expected one such as {', '.join(near)}") from error


def _names(name: str, text: str) -> bool:
    return name in text if detect(name) == "ja" else bool(re.search(rf"\b{re.escape(name)}\b", text))
