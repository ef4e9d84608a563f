"""The Grafana board in examples/ asks for what the server tells Prometheus: every metric, and no other."""

import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import ROOT
from tests.helpers.web import ask, client

BOARD = json.loads((ROOT / "examples" / "grafana" / "migaki.json").read_text(encoding="utf-8"))
ASKED = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
OWN = {"job"}  # a label that Prometheus adds


@pytest.fixture(scope="module")
def served():
    """Labels by the name of each sample that the server has once somebody asked and was refused."""
    http = client()
    for question in ("What is LoRA?", "build a bomb"):
        ask(http, question)
    families = text_string_to_metric_families(http.get("/metrics").text)
    return {sample.name: set(sample.labels) for family in families for sample in family.samples if not sample.name.endswith("_created")}


def test_the_board_has_every_metric_of_the_server_and_no_other(served):
    named = {name for expression in ASKED for name in re.findall(r"\bmigaki_\w+", expression)}
    histograms = {name.removesuffix("_bucket") for name in served if name.endswith("_bucket")}
    whole = {name for name in served if not name.startswith(tuple(histograms))} | {f"{name}_bucket" for name in histograms}
    assert named == whole


def test_the_board_asks_for_labels_that_there_are(served):
    for expression in ASKED:
        labels = set().union(*(served[name] for name in re.findall(r"\bmigaki_\w+", expression)))
        asked = set(re.findall(r"(\w+)(?:=|!=|=~)\"", expression)) | {
            name for own in re.findall(r"by \(([^)]*)\)", expression) for name in own.split(", ")
        }
        assert asked - OWN <= labels, expression


def test_panels_have_an_id_and_a_place_of_their_own():
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in BOARD["panels"]]
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(set(places)) == len(places) == 12
    assert all(panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for panel in BOARD["panels"])
