"""Curves as inline SVG."""

import io
from collections.abc import Collection, Mapping, Sequence
from itertools import cycle

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import matplotlib_fontja
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tasks.shown import shown

matplotlib_fontja.japanize()
matplotlib.rcParams["font.family"] = [*matplotlib.rcParams["font.family"], "DejaVu Sans"]  # for signs that the Japanese font lacks
matplotlib.rcParams["text.parse_math"] = False  # what models and people say is text: a price is no formula
BLUE, ORANGE, GREY, RED = "#3b6fb6", "#d9822b", "#8a8f98", "#b3261e"
LABEL = 28  # characters of a name beside a plot; of a longer one, such as a model's, the end tells it from others


def curves(
    title: str,
    xlabel: str,
    series: dict[str, Sequence[tuple[float, float]]],
    second: dict[str, Sequence[tuple[float, float]]] | None = None,
) -> str:
    """An SVG of named lines over a common axis; `second` are lines on an axis of their own at the right."""
    figure, axis = plt.subplots(figsize=(5.4, 2.8))
    lines: list[Line2D] = []
    sides: list[tuple[Axes, dict[str, Sequence[tuple[float, float]]], tuple[str, ...]]] = [(axis, series, (BLUE, GREY))]
    if second:
        sides.append((axis.twinx(), second, (ORANGE,)))
    for target, named, colours in sides:
        for (name, points), colour in zip(named.items(), colours, strict=False):
            lines += target.plot(
                *zip(*points, strict=True), label=name, color=colour, linewidth=1.6, marker="o" if len(points) < 40 else "", markersize=3
            )
        if named:
            target.set_ylabel(" / ".join(named), color=colours[0])
            target.spines[["top"]].set_visible(False)
    axis.set_title(title, fontsize=11, loc="left")
    axis.set_xlabel(xlabel)
    axis.grid(alpha=0.25)
    if len(lines) > 1:
        axis.legend(lines, [str(line.get_label()) for line in lines], fontsize=8, frameon=False)
    return _svg(figure)


def grouped_bars(title: str, labels: Sequence[str], groups: dict[str, Sequence[float]], xlabel: str, ylabel: str) -> str:
    """An SVG of bars side by side: at each label one of every group, light to dark in the groups' order."""
    figure, axis = plt.subplots(figsize=(5.4, 2.8))
    width, shades = 0.84 / len(groups), matplotlib.colormaps["Blues"]
    for place, (name, values) in enumerate(groups.items()):
        left = [i + (place - (len(groups) - 1) / 2) * width for i in range(len(labels))]
        axis.bar(left, values, width, label=name, color=shades(0.25 + 0.75 * (place + 1) / len(groups)))
    axis.set_xticks(range(len(labels)), [shown(label) for label in labels])
    axis.set_title(shown(title), fontsize=10, loc="left")
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.25)
    axis.legend(fontsize=8, frameon=False)
    return _svg(figure)


def labelled_points(title: str, points: dict[str, tuple[float, float]], xlabel: str, ylabel: str) -> str:
    """An SVG of named points, each with a number whose name stands beside the plot: names at the points would cover each other."""
    figure, axis = plt.subplots(figsize=(5.4, 2.8))
    for number, (name, (x, y)) in enumerate(points.items(), 1):
        axis.plot(x, y, marker="o", markersize=4, color=BLUE, linestyle="", label=f"{number}  {shown(name)}")
        axis.annotate(str(number), (x, y), textcoords="offset points", xytext=(4, 3), fontsize=8)
    axis.set_title(title, fontsize=11, loc="left")
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.margins(0.12)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)
    axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=0, handletextpad=0, markerscale=0)
    return _svg(figure)


def _svg(figure: Figure) -> str:
    figure.tight_layout()
    out = io.StringIO()
    figure.savefig(out, format="svg")
    plt.close(figure)
    return out.getvalue()[out.getvalue().index("<svg") :]


def smoothed(points: Sequence[tuple[float, float]], window: int) -> list[tuple[float, float]]:
    """Running means over the last `window` points."""
    values = [value for _, value in points]
    return [(step, sum(values[max(0, i - window + 1) : i + 1]) / min(window, i + 1)) for i, (step, _) in enumerate(points)]


def intervals(title: str, xlabel: str, ylabel: str, points: dict[str, tuple[float, float, float, float]]) -> str:
    """An SVG of named points (x, y, low, high) with the intervals of y, over a logarithmic x."""
    figure, axis = plt.subplots(figsize=(5.4, 3.2))
    for place, (name, (x, y, low, high)) in enumerate(points.items()):
        axis.errorbar(x, y, [[y - low], [high - y]], fmt="o", color=BLUE, ecolor=GREY, markersize=5, elinewidth=1, capsize=3)
        axis.annotate(name, (x, y), textcoords="offset points", xytext=(6, -12 if place % 2 else 5), fontsize=8)
    axis.set_xscale("log")
    axis.margins(x=0.15)
    axis.set_title(title, fontsize=11, loc="left")
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)
    return _svg(figure)


def interval_rows(title: str, xlabel: str, groups: dict[str, dict[str, tuple[float, float, float]]]) -> str:
    """An SVG with a row for each name, from the top, and in it the value and the interval (value, low, high) of each group that has the name."""
    names = list(dict.fromkeys(name for own in groups.values() for name in own))
    figure, axis = plt.subplots(figsize=(5.4, 1.1 + 0.34 * len(names)))
    for place, ((group, own), colour) in enumerate(zip(groups.items(), cycle((BLUE, ORANGE, GREY)), strict=False)):
        off = (place - (len(groups) - 1) / 2) * 0.22
        rows = [names.index(name) + off for name in own]
        x = [value for value, _, _ in own.values()]
        wide = [[value - low for value, low, _ in own.values()], [high - value for value, _, high in own.values()]]
        axis.errorbar(x, rows, xerr=wide, fmt="o", color=colour, markersize=4, elinewidth=1.2, capsize=2, label=shown(group))
    axis.set_yticks(range(len(names)), [name if len(name) <= LABEL else f"…{name[1 - LABEL :]}" for name in map(shown, names)])
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_title(shown(title), fontsize=11, loc="left")
    axis.set_xlabel(shown(xlabel))
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", alpha=0.25)
    if len(groups) > 1:
        axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure)


def trend(
    labels: Sequence[str],
    lines: Mapping[str, Sequence[tuple[int, float, float | None, float | None]]],
    band: tuple[float, float] | None = None,
    marked: Collection[str] = (),
) -> str:
    """An SVG of figures over time, without words: each line has points (place among the labels, value, low, high) with their intervals.

    Args:
        labels: below the axis, of all times in order.
        band: a range of values, shaded.
        marked: lines whose last point is to be seen.
    """
    figure, axis = plt.subplots(figsize=(5.4, 2.4))
    if band is not None:
        axis.axhspan(*band, color=BLUE, alpha=0.12, linewidth=0)
    for number, ((name, points), colour) in enumerate(zip(lines.items(), cycle((BLUE, ORANGE, GREY)), strict=False)):
        beside = (number - (len(lines) - 1) / 2) * 0.12  # intervals of several lines would cover each other
        x, y = [place + beside for place, *_ in points], [value for _, value, *_ in points]
        axis.plot(x, y, label=shown(name), color=colour, linewidth=1.5, marker="o", markersize=3)
        bounded = [(at, *ends) for at, (_, _, *ends) in zip(x, points, strict=True) if None not in ends]
        if bounded:
            axis.vlines(*zip(*bounded, strict=True), color=colour, alpha=0.45, linewidth=1)
        if name in marked:
            axis.plot(x[-1:], y[-1:], "o", color="none", markeredgecolor=RED, markersize=9)
    step = -(-len(labels) // 7)  # labels that stand beside each other are read
    ticks = list(range(len(labels)))[::-step][::-1]
    axis.set_xticks(ticks, [shown(labels[place]) for place in ticks], fontsize=8)
    axis.set_xlim(-0.5, len(labels) - 0.5)
    axis.tick_params(axis="y", labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.25)
    if len(lines) > 1:
        axis.legend(fontsize=8, frameon=False, ncols=len(lines), loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return _svg(figure)
