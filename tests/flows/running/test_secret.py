"""The secret of a home's platform: made once, readable by its owner alone."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows.running.secret import hide_secret, made_secret, new_secret, read_secret, secret_file
from storage.home import Home
from tasks.errors import MigakiError


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


def test_it_is_made_once_and_is_its_owners(home):
    before = os.umask(0)
    try:
        secret = made_secret(home)
    finally:
        os.umask(before)
    assert stat.S_IMODE(secret_file(home).stat().st_mode) == 0o600 and stat.S_IMODE(secret_file(home).parent.stat().st_mode) == 0o700
    assert made_secret(home) == read_secret(home) == secret and len(secret) > 40 and secret.startswith("migaki:")
    assert [path.name for path in secret_file(home).parent.iterdir()] == ["secret"]


def test_two_homes_have_two(home, tmp_path):
    (tmp_path / "other").mkdir()
    assert made_secret(home) != made_secret(Home(tmp_path / "other"))


def test_those_who_start_at_once_read_the_same(home):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: made_secret(home), range(40)))) == 1


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_one_that_others_could_read_is_replaced(home, mode):
    secret = made_secret(home)
    secret_file(home).chmod(mode)
    assert made_secret(home) != secret and stat.S_IMODE(secret_file(home).stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "migaki:short", "admin:pass", "\n\n"])
def test_a_file_that_holds_none_is_named(home, content):
    made_secret(home)
    secret_file(home).write_text(content)
    for act in (made_secret, read_secret):
        with pytest.raises(MigakiError, match="platform/secret holds no secret"):
            act(home)


def test_plug_ins_of_a_run_find_none_in_its_environment(monkeypatch):
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", new_secret())
    for _ in range(2):
        hide_secret()
        assert "PREFECT_API_AUTH_STRING" not in os.environ


def test_a_home_whose_platform_never_started_has_none(home):
    with pytest.raises(MigakiError, match="migaki platform"):
        read_secret(home)
