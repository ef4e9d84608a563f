"""The parts of a report's page. Whatever comes from documents, models or people is text on it, never markup."""

import html
from collections.abc import Sequence
from typing import Any

from tasks.shown import shown

STYLE = """
:root { color-scheme: light dark; --line: #d8dbe0; --soft: #f4f5f7; --text: #1d2127; --dim: #5c6370; --good: #1a7f4b; --bad: #b3261e; --page: #fff; }
@media (prefers-color-scheme: dark) { :root { --line: #3a3f47; --soft: #22262c; --text: #e6e8eb; --dim: #a0a7b3; --good: #5cc98f; --bad: #ff8a80; --page: #16191d; } }
body { font: 15px/1.55 system-ui, "Noto Sans JP", "Hiragino Sans", sans-serif; color: var(--text); background: var(--page); margin: 0 auto; padding: 24px 16px 64px; max-width: 1040px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 10px; } p { margin: 6px 0; } .dim { color: var(--dim); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 14px; } th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { font-weight: 600; background: var(--soft); } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.decision { border: 1px solid var(--line); border-left: 5px solid var(--dim); border-radius: 6px; padding: 10px 14px; margin: 16px 0; background: var(--soft); }
.promote { border-left-color: var(--good); } .keep { border-left-color: var(--bad); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 14px; } .charts > div { background: #fff; max-width: 640px; border: 1px solid var(--line); border-radius: 6px; padding: 4px; }
.charts svg { width: 100%; height: auto; } .pair { border: 1px solid var(--line); border-radius: 6px; margin: 12px 0; padding: 10px 14px; }
.pair > div { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 12px; } .pair h3 { margin: 0 0 8px; font-size: 15px; } .pair b { display: block; font-size: 12px; color: var(--dim); }
"""


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


def whole_page(title: str, heading: str, *parts: str) -> str:
    """One HTML file that needs no network, of parts that are markup."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body><h1>{text(heading)}</h1>{''.join(parts)}</body></html>\n"
    )
