"""Weeks: from Monday to Sunday, in a time zone."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

WEEK = timedelta(weeks=1)


def a_zone(name: str) -> str:
    """The name of a time zone that there is.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:  # not there; a path; a folder of zones
        raise ValueError(f"{name!r} is no time zone; accepted is an IANA time zone such as Asia/Tokyo or UTC") from error
    return name


Zone = Annotated[str, AfterValidator(a_zone)]


def week_of(time: datetime, zone: str) -> date:
    """The Monday of the week of a time, which is UTC without a zone attached, as the catalog has it."""
    day = time.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date()
    return day - timedelta(days=day.weekday())


def begin_of(week: date, zone: str) -> datetime:
    """When the week of a Monday begins, as the catalog has times."""
    return datetime(week.year, week.month, week.day, tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
