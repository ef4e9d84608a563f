"""The command line itself."""

import importlib.metadata

import pytest

from flows.commands.parser import parsed, parser


def test_the_version_is_that_of_the_installed_package(capsys):
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"migaki {importlib.metadata.version('migaki')}\n"


def test_names_stand_before_and_after_options():
    said = parsed(["prompts", "diff", "brief", "--lang", "ja", "shown"])
    assert (said.action, said.names, said.lang) == ("diff", ["brief", "shown"], "ja")
    assert parsed(["prompts", "lint", "--prompts", "own", "mine"]).names == ["mine"]
    said = parsed(["benchmark", "piqa", "--benchmarks-dir", "data", "arc_easy"])
    assert vars(said)["benchmark.names"] == ["piqa", "arc_easy"]
    with pytest.raises(SystemExit):
        parsed(["prompts", "lint", "--no-such-option", "mine"])
    with pytest.raises(SystemExit):
        parsed(["status", "mine"])
