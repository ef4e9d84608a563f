"""The page of a study: what came of it, its figures, its plots, and answers side by side."""

from collections.abc import Iterator, Mapping, Sequence

from tasks.pages.charts import interval_rows
from tasks.pages.page import note, section, table, text, whole_page
from tasks.studies.figures import Figure, Winner
from tasks.studies.study import ALL, Results, Study

SHOWN = 6  # items of each language whose answers are shown


def study_page(
    study: Study, results: Results, figures: Sequence[Figure], best: Winner, plots: Sequence[str] = (), notes: Sequence[str] = ()
) -> str:
    """One HTML file.

    Args:
        plots: SVGs, as `tasks.pages.charts` draws them.
        notes: sentences that whoever reads the figures must know.
    """
    kinds = sorted({item.lang for item in study.items})
    title = f"Migaki: {study.name.replace('_', ' ')}"
    return whole_page(
        title,
        title,
        note(f"{len(study.arms)} arms on the same {len(study.items)} items ({', '.join(kinds)})"),
        f"<div class='decision'><b>{text(best.arm)}</b><p>{text(best.because)}</p></div>",
        _adoption(study, best),
        _plots([*_side_by_side(study, figures), *plots]),
        section("Figures", *_figure_tables(study, figures), note("In brackets: 95 % bootstrap intervals over items.")),
        _facts(results.facts),
        _differences(study, figures),
        _answers(study, results),
        section("What to know when reading this", *map(note, notes)) if notes else "",
    )


def adopting(study: Study, best: Winner) -> str:
    """The command with which a release takes the best arm up, through the gate; "" where that is the first one, or it is nothing that a release has."""
    arm = next(arm for arm in study.arms if arm.name == best.arm)
    if arm is study.arms[0] or not arm.adopt:
        return ""
    return "migaki retrain " + " ".join(f"--set {name}={value}" for name, value in arm.adopt.items())


def _adoption(study: Study, best: Winner) -> str:
    command = adopting(study, best)
    return note(f"Nothing has changed. A release takes it up where the gate promotes it: {command}") if command else ""


def _figure_tables(study: Study, figures: Sequence[Figure]) -> Iterator[str]:
    """A table for each language, the arms one below the other."""
    cells = {(one.arm, one.measure, one.lang): one for one in figures if not one.against}
    labels = _labels(study)
    for lang in dict.fromkeys(lang for _, _, lang in cells):
        asked = [measure for measure in labels if any((arm.name, measure, lang) in cells for arm in study.arms)]
        rows = [[arm.name, *[_cell(cells.get((arm.name, measure, lang))) for measure in asked]] for arm in study.arms]
        yield f"<h3>{text(lang)}</h3>" + table(["arm", *[labels[measure] for measure in asked]], rows)


def _labels(study: Study) -> Mapping[str, str]:
    return {measure.name: measure.label or measure.name for measure in study.measures}


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    one = figure.interval
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def _differences(study: Study, figures: Sequence[Figure]) -> str:
    """Those of the first measure, and what else was measured folded up: arms times measures times languages are many."""
    if len(study.arms) == 1:
        return ""
    first = [one for one in figures if one.against and one.measure == study.measures[0].name]
    others = [one for one in figures if one.against and one not in first]
    folded = f"<details><summary>Of the other figures</summary>{_difference_table(study, others)}</details>" if others else ""
    return section(f"Differences from {study.arms[0].name}", _difference_table(study, first), folded)


def _difference_table(study: Study, figures: Sequence[Figure]) -> str:
    labels = _labels(study)
    rows = [
        [
            one.arm,
            labels[one.measure],
            one.lang,
            one.interval.value,
            f"{one.interval.low:+.3f} to {one.interval.high:+.3f}",
            one.interval.items,
            "yes" if one.interval.low > 0 or one.interval.high < 0 else "inconclusive",
        ]
        for one in figures
    ]
    return table(["arm", "figure", "language", "difference", "95 % interval", "items", "excludes zero"], rows)


def _side_by_side(study: Study, figures: Sequence[Figure]) -> Iterator[str]:
    """The first measure of every arm with its intervals, each language in a colour of its own."""
    first = study.measures[0]
    own = [one for one in figures if one.measure == first.name and not one.against]
    langs = [lang for lang in dict.fromkeys(one.lang for one in own) if lang != ALL]
    if len(study.arms) > 1 and langs:
        by_lang = {
            lang: {one.arm: (one.interval.value, one.interval.low, one.interval.high) for one in own if one.lang == lang} for lang in langs
        }
        yield interval_rows(f"{_labels(study)[first.name]} by arm", "value and 95 % interval over items", by_lang)


def _plots(plots: Sequence[str]) -> str:
    return section("Plots", f'<div class="charts">{"".join(f"<div>{svg}</div>" for svg in plots)}</div>') if plots else ""


def _facts(facts: Mapping[str, Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for own in facts.values() for name in own))
    rows = [[arm, *[number(own.get(name)) for name in names]] for arm, own in facts.items()]
    return section("Arms", table(["arm", *names], rows)) if names else ""


def number(value: float | None) -> str:
    """A figure of an arm for people: whole numbers with commas, small ones with as many digits as say something."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.4g}"


def _answers(study: Study, results: Results) -> str:
    rows = {(row.arm, row.item): row.answer for row in results.rows}
    parts = []
    for lang in sorted({item.lang for item in study.items}):
        for item in [item for item in study.items if item.lang == lang][:SHOWN]:
            own = [(arm.name, rows[arm.name, item.id]) for arm in study.arms]
            if not any(answer.text for _, answer in own):
                continue
            reference = own[0][1].reference
            columns = ([("reference", reference)] if reference else []) + [(name, answer.text) for name, answer in own]
            shown = "".join(f"<p><b>{text(name)}</b>{text(said) or '<i>(nothing)</i>'}</p>" for name, said in columns)
            parts.append(f'<div class="pair" lang="{text(lang)}"><h3>{text(own[0][1].prompt)}</h3><div>{shown}</div></div>')
    return section("Answers side by side", *parts) if parts else ""
