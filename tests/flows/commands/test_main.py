"""The command line itself."""

import importlib.metadata

import pytest

from flows.commands.parser import parser


def test_the_version_is_that_of_the_installed_package(capsys):
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"migaki {importlib.metadata.version('migaki')}\n"
