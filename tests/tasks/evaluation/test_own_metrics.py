"""Metrics of the team's own: the page docs/adding-a-metric.md, followed to the letter, and what is said of a bad one."""

import re

import pytest

from flows.catalogue.stages import STAGES
from tasks.errors import MigakiError
from tasks.evaluation.chat_figures import chat_differences, chat_figures, own_measure
from tasks.evaluation.own_metrics import PREFIX, TAKEN, Answered, Metric, load_metrics, values_of
from tasks.evaluation.report_chat import METRICS
from tasks.evaluation.settings import EvaluateSettings
from tasks.stages.keys import Ingredients
from tests import ROOT
from tests.helpers.chat_rows import asked

PAGE = (ROOT / "docs/adding-a-metric.md").read_text(encoding="utf-8")
ROW = Answered("How hot?", "Hot. 熱い。", ("hot",), ("a.md",), "answered", "en")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The page's module in the working folder."""
    monkeypatch.chdir(tmp_path)
    (name, text), *others = re.findall(r"^### (\S+)\n\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert others == []
    file = tmp_path / name.replace("\\", "")
    file.write_text(text, encoding="utf-8")
    return file


def named() -> list[str]:
    return re.search(r"evaluate\.metrics=\[(.*)\]", PAGE)[1].split(", ")


def test_what_the_page_shows_gives_figures_with_intervals_and_differences(module):
    settings = EvaluateSettings(metrics=named())
    metrics = load_metrics(settings.metrics)
    assert [metric.name for metric in metrics] == ["chat.names_a_source", "chat.sentences"] and metrics[1](ROW) == 2.0
    assert {f"`{name}`" for name in Answered.__dataclass_fields__} == set(re.findall(r"^\| (`\w+`) \|", PAGE, re.MULTILINE))
    rows = [
        asked(model, f"q{i}", "refused" if i == 3 else "answered", prompt="Hot?", sources=["a.md"] if i < wanted else [])
        for model, wanted in (("champion", 1), ("release", 2))
        for i in range(4)
    ] + [asked("release", "q0", suite="left_out", prompt="Hot?", sources=["a.md"])]
    measures = {metric.name: own_measure(values_of(metric, rows, {f"q{i}": ("hot",) for i in range(4)})) for metric in metrics}
    found = [*chat_figures("release", rows, 100, measures), *chat_differences("release", "champion", rows, 100, measures)]
    figure = {(row["model"], row["metric"]): row for row in found if row["lang"] == "all"}
    own = figure["release", "chat.names_a_source"]
    assert (
        own["value"] == pytest.approx(2 / 3) and own["items"] == 3 and own["low"] < own["value"] < own["high"]
    )  # the refused one is passed over
    assert figure["release - champion", "chat.names_a_source"]["value"] == pytest.approx(1 / 3)


def test_an_edit_makes_another_key(module):
    key = lambda settings: Ingredients.of(STAGES["evaluate"], settings, {}, {}).key
    own = EvaluateSettings(metrics=named())
    before = key(own)
    assert before != key(EvaluateSettings())
    module.write_text(module.read_text(encoding="utf-8").replace('"。"', '"!"'), encoding="utf-8")
    assert key(own) != before


def test_every_figure_of_migaki_is_taken():
    assert {PREFIX + name for name in TAKEN} == set(METRICS)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 1 / 0", r"'m:f' of evaluate\.metrics raised ZeroDivisionError.*on the question 'How hot\?'"),
        ("return 'much'", r"'m:f' of evaluate\.metrics gave 'much' to the question 'How hot\?'; accepted are finite numbers and None"),
        ("return float('nan')", "gave nan"),
    ],
)
def test_a_bad_metric_is_named_with_the_question(body, words):
    scope = {}
    exec(f"def f(row):\n    {body}", scope)
    with pytest.raises(MigakiError, match=words):
        Metric("m:f", scope["f"])(ROW)


def test_two_functions_of_one_name_and_malformed_names_are_refused(module):
    (module.parent / "other.py").write_text("def sentences(row):\n    return 1.0\n", encoding="utf-8")
    with pytest.raises(MigakiError, match=r"two functions whose figures would be called 'chat\.sentences'"):
        load_metrics(["house_metrics:sentences", "other:sentences"])
    with pytest.raises(MigakiError, match=r"evaluate\.metrics = .*module:function"):
        EvaluateSettings.build("evaluate", {"metrics": ["sentences"]})
