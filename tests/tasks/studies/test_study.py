"""A study of arithmetic: every arm answers the same items, what was answered before a death is not asked again, and figures are paired."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tasks.pages.charts import interval_rows
from tasks.studies.figures import figures, winner
from tasks.studies.report import adopting, study_page
from tasks.studies.study import ALL, Answer, Arm, Item, Journal, Measure, Opened, Results, run_study


@dataclass
class Halving:
    """Arms that halve numbers, each off by its own error; dies where it is told to."""

    arms: Sequence[Arm]
    items: Sequence[Item]
    measures: Sequence[Measure] = (Measure("right"), Measure("error", better="lower"), Measure("loss", better="lower", per="size"))
    name: str = "halving"
    batch: int = 2
    dies_at: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    opens: list[str] = field(default_factory=list)

    @contextmanager
    def opened(self, arm: Arm) -> Iterator[Opened]:
        self.opens.append(arm.name)

        def answer(items: Sequence[Item]) -> list[Answer]:
            return [self._answer(arm, item) for item in items]

        yield Opened(answer, {"parameters": arm.settings["error"]})

    def _answer(self, arm: Arm, item: Item) -> Answer:
        if f"{arm.name} {item.id}" == self.dies_at:
            raise KeyboardInterrupt
        self.asked.append((arm.name, item.id))
        n, error = item.content["n"], arm.settings["error"] if item.content["n"] % 3 else 0
        values = {"right": float(error == 0), "error": float(error), "loss": float(n + error), "size": float(n)}
        return Answer(values, f"half of {n}?", str(n / 2 + error), str(n / 2))


def study(dies_at: str = "", **more) -> Halving:
    arms = [Arm("sloppy", {"error": 2}), Arm("exact", {"error": 0}, {"chat.temperature": 0.0}), Arm("worse", {"error": 5})]
    items = [Item(str(n), ("el", "xx")[n % 2], {"n": n}, f"group {n // 2}") for n in range(1, 31)]
    return Halving(arms, items, dies_at=dies_at, **more)


def results_of(one: Halving, path) -> Results:
    return run_study(one, Journal(path))


def test_a_killed_study_goes_on_where_it_was_with_the_same_figures(tmp_path):
    whole = study()
    expected = figures(whole, results_of(whole, tmp_path / "whole.jsonl"))
    first, again = study(dies_at="exact 11"), study()
    with pytest.raises(KeyboardInterrupt):
        results_of(first, tmp_path / "killed.jsonl")
    found = figures(again, results_of(again, tmp_path / "killed.jsonl"))
    assert found == expected
    assert again.opens == ["exact", "worse"]
    assert again.asked[0] == ("exact", "11") and len(again.asked) == 90 - 40


def test_a_line_that_was_not_finished_is_asked_again(tmp_path):
    one, path = study(), tmp_path / "a.jsonl"
    results_of(one, path)
    path.write_bytes(path.read_bytes()[:-40])
    again = study()
    results_of(again, path)
    assert again.asked == [("worse", "29"), ("worse", "30")]
    assert all(line.endswith("}") for line in path.read_text(encoding="utf-8").splitlines())


def test_what_is_there_opens_no_arm(tmp_path):
    results_of(study(), tmp_path / "a.jsonl")
    again = study()
    assert results_of(again, tmp_path / "a.jsonl").facts["worse"] == {"parameters": 5}
    assert again.opens == [] and again.asked == []


def test_figures_are_by_language_paired_and_divided_by_what_they_are_per(tmp_path):
    one = study()
    found = {(f.arm, f.measure, f.lang, f.against): f.interval for f in figures(one, results_of(one, tmp_path / "a.jsonl"))}
    right = found["sloppy", "right", ALL, ""]
    assert (right.value, right.items) == (pytest.approx(1 / 3), 30)
    assert found["exact", "right", "el", "sloppy"].value == pytest.approx(2 / 3)
    assert found["exact", "right", ALL, "sloppy"].low > 0.4
    total = sum(range(1, 31))
    assert found["sloppy", "loss", ALL, ""].value == pytest.approx((total + 2 * 20) / total)
    assert found["worse", "loss", ALL, "sloppy"].value == pytest.approx(3 * 20 / total)


def test_the_winner_is_the_arm_that_is_shown_to_be_better_and_is_told_not_taken(tmp_path):
    one = study()
    best = winner(one, results_of(one, tmp_path / "a.jsonl"))
    assert best.arm == "exact" and "better than 'sloppy'" in best.because
    assert adopting(one, best) == "migaki retrain --set chat.temperature=0.0"
    lower = study(measures=(Measure("error", "error", "lower"),))
    assert winner(lower, results_of(lower, tmp_path / "b.jsonl")).arm == "exact"


def test_where_nothing_is_shown_to_be_better_the_first_arm_stays(tmp_path):
    one = study()
    one.arms = [one.arms[1], one.arms[0]]
    best = winner(one, results_of(one, tmp_path / "a.jsonl"))
    assert best.arm == "exact" and adopting(one, best) == ""
    alone = study()
    alone.arms, alone.items = alone.arms[:1], alone.items[:1]
    assert winner(alone, results_of(alone, tmp_path / "b.jsonl")).arm == "sloppy"


def test_names_that_stand_twice_are_refused(tmp_path):
    one = study()
    one.items = [*one.items, one.items[3]]
    with pytest.raises(ValueError, match="two items of the study 'halving' are called '4'"):
        results_of(one, tmp_path / "a.jsonl")


def test_the_page_shows_what_people_and_models_wrote_as_text(tmp_path):
    one = study()
    results = results_of(one, tmp_path / "a.jsonl")
    results.rows[0].answer.details["x"] = 1
    hostile = Results(
        [type(row)(row.arm, row.item, row.seconds, Answer(row.answer.values, "<script>", "<b>", "")) for row in results.rows], results.facts
    )
    page = study_page(one, hostile, figures(one, hostile), winner(one, hostile), ["<svg></svg>"], ["a note"])
    assert "<script>" not in page and "&lt;script&gt;" in page
    for told in ("halving", "exact", "parameters", "a note", "migaki retrain --set chat.temperature=0.0"):
        assert told in page
    assert page.count("<svg") == 2 and "<!-- right by arm -->" in page, "the first measure is drawn before a study's own plots"


def test_the_first_measure_of_each_arm_is_drawn_by_language():
    one = interval_rows("right by arm", "share", {"el": {"exact": (1.0, 0.9, 1.0), "猫": (0.5, 0.2, 0.7)}, "xx": {"猫": (0.4, 0.1, 0.6)}})
    for told in ("exact", "猫", "el", "xx", "share"):
        assert one.count(f"<!-- {told} -->") == 1
    assert "<!-- el -->" not in interval_rows("right", "share", {"el": {"exact": (1.0, 0.9, 1.0)}})
