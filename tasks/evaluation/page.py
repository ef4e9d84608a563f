"""The parts of a report's page. Whatever comes from documents, models or people is text on it, never markup."""

import html
from collections.abc import Sequence
from typing import Any

from tasks.shown import shown


def text(value: Any) -> str:
    """A value as HTML text; numbers get three decimals."""
    if isinstance(value, float):
        return f"{value:.3f}"
    return "" if value is None else html.escape(shown(value))


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table; a column whose values are all numbers is set right."""
    numeric = [
        bool(rows)
        and all(isinstance(row[i], int | float | None) or (str(row[i])[:1].isdigit() and str(row[i])[-1:] in "0123456789%") for row in rows)
        for i in range(len(columns))
    ]
    mark = [' class="n"' if right else "" for right in numeric]
    head = "".join(f"<th{mark[i]}>{text(name)}</th>" for i, name in enumerate(columns))
    body = "".join("<tr>" + "".join(f"<td{mark[i]}>{text(value)}</td>" for i, value in enumerate(row)) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def section(title: str, *parts: str) -> str:
    return f"<h2>{text(title)}</h2>{''.join(parts)}" if any(parts) else ""


def note(words: str) -> str:
    return f'<p class="dim">{text(words)}</p>'
