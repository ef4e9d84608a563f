"""A body of JSON, checked before anything works on it: what later code could stumble over or be kept busy with is refused here, by its field.

Python reads integers of any length in quadratic time and refuses some with an error of its own, infinity passes for a number, half of a
surrogate pair cannot be encoded again, and putting very many combining marks into order takes quadratic time (Unicode Standard Annex 15,
section 13, on stream-safe text: at most 30).
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import BaseModel, model_validator

from tasks.chatbot.web.errors import ApiError

MAX_DEPTH = 64
MAX_DIGITS = 100
MAX_MARKS = 30  # combining marks in a row
SURROGATE = re.compile("[\ud800-\udfff]")


class Asked(BaseModel):
    """A part of a request, in which `null` is what is not there: clients write so what their user did not set."""

    @model_validator(mode="before")
    @classmethod
    def without_nulls(cls, value: Any) -> Any:
        return {name: part for name, part in value.items() if part is not None} if isinstance(value, dict) else value


@dataclass(frozen=True)
class _Unusable:
    """Stands for a number that cannot be used; says why."""

    why: str


def check_json(text: bytes | str, field: str = "") -> None:
    """Refuse JSON that holds what no field can take. What is no JSON is left to whoever reads it.

    Args:
        field: whose text it is; "" is the whole body.

    Raises:
        ApiError: 400, nested too deep, or a number, a text or a name in it cannot be used; names the field.
    """
    try:
        content = json.loads(
            text, parse_int=_number, parse_float=_number, parse_constant=lambda name: _Unusable(f"{name} is no number of JSON")
        )
    except RecursionError as error:
        raise _refused(field, f"it is nested deeper than {MAX_DEPTH} levels, the most accepted") from error
    except ValueError:
        return
    for path, value in _walk(content, field):
        if isinstance(value, _Unusable):
            raise _refused(path, value.why)
        if isinstance(value, str) and (why := unusable(value)):
            raise _refused(path, why)


def unusable(text: str) -> str:
    """Why a text cannot be used; "" where it can."""
    if text.isascii():
        return ""
    if SURROGATE.search(text):
        return "it holds half of a surrogate pair, which is no character"
    if len(text) > MAX_MARKS and any(is_mark and len(list(run)) > MAX_MARKS for is_mark, run in groupby(text, _is_mark)):
        return f"it holds more than {MAX_MARKS} combining marks in a row"
    return ""


def _is_mark(character: str) -> bool:
    return character >= "\u0300" and unicodedata.combining(character) > 0


def _number(text: str) -> float | _Unusable:
    if len(text) > MAX_DIGITS:
        return _Unusable(f"a number of {len(text):,} characters; at most {MAX_DIGITS} are accepted")
    return float(text) if abs(float(text)) < float("inf") else _Unusable(f"{text[:MAX_DIGITS]} is too large for a number")


def _walk(content: Any, field: str) -> Iterator[tuple[str, Any]]:
    """Every value and every name in it with its path; without recursion, and no deeper than allowed."""
    left = [(field, content, 0)]
    while left:
        path, value, depth = left.pop()
        yield path, value
        if depth > MAX_DEPTH:
            raise _refused(path, f"it is nested deeper than {MAX_DEPTH} levels, the most accepted")
        if isinstance(value, dict):
            for name, part in value.items():
                yield f"a name in {path}" if path else "a name", name
                left.append((f"{path}.{name}".strip("."), part, depth + 1))
        elif isinstance(value, list):
            left += [(f"{path}.{place}".strip("."), part, depth + 1) for place, part in enumerate(value)]


def _refused(path: str, why: str) -> ApiError:
    field = path.encode("utf-8", "replace").decode()[:200]
    return ApiError(400, "invalid_value", f"{field or 'the body'}: {why}", field or None)
