"""What a home holds is its owner's alone."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flows.commands import doctor
from storage.home import Home


def modes(root: Path) -> dict[str, str]:
    """What is looser than it may be."""
    every = [root, *root.rglob("*")]
    return {str(path): oct(stat.S_IMODE(path.lstat().st_mode)) for path in every if path.lstat().st_mode & 0o077 and not path.is_symlink()}


def test_a_command_makes_files_for_its_owner_whatever_the_umask(tmp_path):
    home = tmp_path / "ホーム"
    command = [sys.executable, "-m", "flows.commands.main", "sql", "SHOW TABLES", "--home", str(home)]
    subprocess.run(command, check=True, capture_output=True, preexec_fn=lambda: os.umask(0), cwd=Path(__file__).parents[2])
    assert (home / "warehouse.duckdb").exists() and modes(home) == {}


@pytest.fixture
def loose(home, monkeypatch):
    """A home that everybody can read, with a link to a file elsewhere."""
    (home.objects / "model" / "a").mkdir(parents=True)
    (home.objects / "model" / "a" / "file").write_text("x")
    outside = home.root.parent / "outside"
    outside.write_text("x")
    outside.chmod(0o644)
    (home.root / "link").symlink_to(outside)
    for path in (home.root, *home.root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() else 0o666)
    return home


def test_a_looser_home_is_closed_when_it_is_opened(loose):
    assert Home.current().root.stat().st_mode & 0o077 == 0


def test_doctor_mends_the_rest(loose, capsys):
    doctor.examine(loose)
    assert modes(loose.root) == {}
    assert (loose.root.parent / "outside").stat().st_mode & 0o077
    assert "open to others" in capsys.readouterr().err


def test_doctor_names_what_it_cannot_mend(loose, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(Path, "chmod", refuse)
    troubles = doctor.examine(loose)["troubles"]
    assert any(str(loose.objects) in line and "chmod go-rwx" in line for line in troubles)


def test_a_folder_that_is_no_home_keeps_its_modes(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setenv("MIGAKI_HOME", str(shared))
    Home.current()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
