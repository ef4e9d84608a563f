"""What `migaki monitor` prints."""

from typing import Any

from flows.commands.show import console, table
from tasks.monitoring.shown import COLUMNS

GROUPS = 10  # of questions that are printed; the page has all


def monitor_table(report: dict[str, Any]) -> dict[str, Any]:
    """The figures as a table, what left its range, and what people ask that no document answers; returns the same for --json."""
    if report["rows"]:
        table(f"the week of {report['week']}", list(COLUMNS), report["rows"], right=("value", "of"))
    if not report["answers"]:
        console.print(f"nobody asked anything in the week of {report['week']} ({report['zone']})")
    for words in report["alerts"].values():
        console.print(f"ALERT: {words}", soft_wrap=True)
    if not any(one["verdict"]["median"] is not None for one in report["series"]):
        console.print("nothing can be judged yet: that takes enough answers in the week, and weeks before it that had enough")
    for line in _documents(report):
        console.print(line, soft_wrap=True)
    _questions(report["questions"])
    if report["without"]:
        console.print(f"questions were neither compared nor grouped: {report['without']}", soft_wrap=True)
    console.print(f"page: {report['page']} (for admins, where `migaki serve` runs)", soft_wrap=True)
    return report


def _documents(report: dict[str, Any]) -> list[str]:
    lines = []
    if drift := report["drift"]:
        lines.append(
            f"questions against those before: energy coefficient {drift['distance']:.3f} (0: the same, 1: all others), p = {drift['p']:.3f}, "
            f"{drift['now']} against {drift['before']}"
        )
    if index := report["index"]:
        lines.append(
            f"index: {index['documents']} documents ({index['added']} new, {index['changed']} changed, {index['removed']} gone since the week began), "
            f"{index['cited']} cited in the weeks shown; half of them are {index['median_days']:.0f} days old or older, the oldest {index['oldest_days']:.0f}"
        )
    return lines


def _questions(found: dict[str, Any] | None) -> None:
    if not found:
        return
    if not found["asked"]:
        console.print(f"since {found['since']} no question went without documents")
        return
    rows = [[one["asked"], one["lang"], "\n".join(one["examples"])] for one in found["groups"][:GROUPS]]
    if rows:
        table(f"questions without documents since {found['since']}", ["asked", "language", "such as"], rows, right=("asked",), ruled=True)
    if found["withheld"]:
        console.print(f"{found['withheld']} more may speak of somebody's health or quote what not everybody may see: they are not shown")
