"""The file that says who is told: what it may hold, who may read it, and that no message shows an address."""

import pytest

from flows.running.notifications import NotifySettings, notify_file, read_notify
from tasks.errors import MigakiError

SECRET = "https://hooks.example/T0secret"


def file(home, text, mode=0o600):
    path = notify_file(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_the_homes_own_file_is_read_and_without_one_nobody_is_told(home):
    assert read_notify(home) == NotifySettings()
    file(home, f"slack: {SECRET}\nheartbeat_minutes: 2.5\nwebhook:\n# 日本語\n")
    found = read_notify(home)
    assert (found.address("slack"), found.address("webhook"), found.heartbeat_minutes) == (SECRET, "", 2.5)
    assert "T0secret" not in repr(found) + str(found.model_dump())
    file(home, "")
    assert read_notify(home) == NotifySettings()


def test_a_file_that_was_named_must_be_there(home, tmp_path):
    with pytest.raises(MigakiError, match=r"--notify .*none.yaml: the file is not there"):
        read_notify(home, tmp_path / "none.yaml")


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_can_read_is_refused(home, mode):
    path = file(home, f"slack: {SECRET}", mode)
    with pytest.raises(MigakiError, match=f"chmod 600 {path}"):
        read_notify(home)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("slack: T0secret/services", "slack begins with neither http:// nor https://"),
        ("slack: ftp://host/T0secret", "slack begins with neither http:// nor https://"),
        ("webhook: https:///T0secret", "webhook names no host"),
        ("webhook: https://host:port/T0secret", "webhook is no address"),
        ("heartbeat: https://host/T0 secret", "heartbeat is no address"),
        ("heartbeat: [https://host/T0secret]", "heartbeat is no address"),
        ("heartbeat: https://host/T0secret/鍵", "heartbeat is no address"),
        ("slack: 'https://host/T0secret", "line 1: this is no YAML"),
        ("slack: https://host/T0secret: x", "line 1: this is no YAML"),
        ("- https://host/T0secret", "must hold names and values"),
        ("https://host/T0secret", "must hold names and values"),
        ("slak: https://host/T0secret", "notify.slak is no setting; did you mean notify.slack?"),
        ("heartbeat_minutes: 0", "notify.heartbeat_minutes = 0: Input should be greater than or equal to 0.05"),
        ("late_minutes: soon", "notify.late_minutes = 'soon'"),
    ],
)
def test_what_is_wrong_is_named_and_no_address_is_shown(home, text, says):
    file(home, text)
    with pytest.raises(MigakiError) as caught:
        read_notify(home)
    assert says in str(caught.value) and "T0" not in str(caught.value)
