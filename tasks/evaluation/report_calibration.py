"""The report's section on the calibration: when the chatbot answers, and what that costs, before and after it went by the team's questions."""

from collections.abc import Mapping
from typing import Any

from tasks.evaluation.facts import Facts
from tasks.pages.charts import curves
from tasks.pages.page import note, section, table

SHARES = ("right", "wrong", "unsure", "turned_away", "told", "auroc")


def calibration_section(facts: Facts) -> str:
    """A table of both languages' figures, and a curve of what is answered against what should not have been."""
    languages: Mapping[str, Mapping[str, Any]] = facts.meta("calibrate").get("languages") or {}
    rows, charts = [], []
    for lang, own in languages.items():
        for name in ("before", "after"):
            ends = own.get(name)
            shares = [f"{ends[share]:.2f}" if ends.get(share) is not None else "" for share in SHARES] if ends else ["bundled"]
            if ends or name == "after":
                rows.append([lang, own["questions"], name if ends else "", f"{own['least']:.2f}, {own['sure']:.2f}", *shares])
        if own.get("curve"):
            before, after = own["curve"]
            charts.append(
                curves(f"Answered and not ({lang})", "questions answered", {"answered without documents": after, "before": before})
            )
    if not rows:
        return ""
    columns = [
        "language",
        "questions",
        "calibration",
        "unsure from, answers from",
        "right",
        "wrong",
        "unsure",
        "turned away",
        "told",
        "AUROC",
    ]
    drawn = f'<div class="charts">{"".join(f"<div>{svg}</div>" for svg in charts)}</div>' if charts else ""
    told = note(
        "Each question is asked as it is and with the documents that answer it left out (told: it then is not answered), and judged by what the questions "
        "about other documents say. Right and wrong are of the best sentences quoted; before is the bundled calibration."
    )
    return section("When the chatbot answers", table(columns, rows), drawn, told)
