"""The first thing that differs, in words."""

from dataclasses import asdict, replace

import pytest

from flows.running.plan import first_difference
from tasks.stages.keys import Ingredients

NOW = Ingredients(
    stage="tune",
    settings={"epochs": 3.0, "seed": 0},
    inputs={"dataset": "a" * 64},
    files={"documents": [[None, "docs", {"faq.md": "1", "料金.md": "2"}]]},
    models={"model": "m" * 64},
    code={"tasks/models/loader.py": "1", "tasks/training/loop.py": "2"},
    versions={"torch": "2.13.0"},
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {"epochs": 2.0, "seed": 0}}, "tune.epochs was 2.0 and is 3.0"),
        ({"settings": {"epochs": 3.0}}, "the setting tune.seed is new: 0"),
        ({"settings": {"epochs": 3.0, "seed": 0, "old": 1}}, "the setting tune.old is gone"),
        ({"inputs": {"dataset": "b" * 64}}, "its input 'dataset' was bbbbbbbbbbbb and is aaaaaaaaaaaa"),
        ({"inputs": {"dataset": "a" * 64, "pretrained": "c" * 64}}, "its input 'pretrained' was cccccccccccc and is none"),
        ({"files": {"documents": [[None, "docs", {"faq.md": "1"}]]}}, "the files of tune.documents have changed: 料金.md"),
        ({"models": {"model": "n" * 64}}, "another model: checksum nnnnnnnnnnnn, now mmmmmmmmmmmm"),
        ({"code": {"tasks/models/loader.py": "0", "tasks/training/loop.py": "2"}}, "the source file tasks/models/loader.py has changed"),
        ({"code": {"tasks/training/loop.py": "2"}}, "the source file tasks/models/loader.py is new to it"),
        ({"code": NOW.code | {"tasks/x.py": "0"}}, "the source file tasks/x.py is no longer part of it"),
        ({"versions": {"torch": "2.12.0"}}, "torch was 2.12.0 and is 2.13.0"),
        ({"versions": {"torch": "2.12.0"}, "settings": {"epochs": 2.0, "seed": 0}}, "tune.epochs was 2.0 and is 3.0"),
        ({}, ""),
    ],
)
def test_the_first_difference_is_named_with_both_sides(change, words):
    assert first_difference("tune", asdict(replace(NOW, **change)), NOW) == words
