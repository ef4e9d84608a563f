"""Who is told of what goes wrong on a platform: the addresses, in a file that its owner alone can read."""

import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import Field, SecretStr

from storage.home import Home
from tasks.errors import MigakiError
from tasks.settings import StageSettings

TARGETS = ("webhook", "slack")
ADDRESSES = (*TARGETS, "heartbeat")


class NotifySettings(StageSettings):
    """What the file says. An address holds its own password: it is never shown."""

    webhook: SecretStr = Field(SecretStr(""), description="Address that gets a POST of JSON: text, what happened, and its facts")
    slack: SecretStr = Field(
        SecretStr(""), description="Address of an incoming webhook as Slack has them (Mattermost and others too): a POST of {text: ...}"
    )
    heartbeat: SecretStr = Field(
        SecretStr(""), description="Address that is called (GET) while all is well; whoever has it tells when the calls stay away"
    )
    heartbeat_minutes: float = Field(5, ge=0.05, le=1440, description="Minutes between two calls of the heartbeat's address")
    late_minutes: float = Field(30, ge=0.2, le=10080, description="How long a run may be late, as Prefect has it, before somebody is told")
    worker_minutes: float = Field(
        2, ge=0.2, le=10080, description="How long a pool may be without a worker, as Prefect sees it after 90 s, before somebody is told"
    )

    def address(self, name: str) -> str:
        """One of `ADDRESSES`, "" where none is set."""
        secret: SecretStr = getattr(self, name)
        return secret.get_secret_value()


def notify_file(home: Home) -> Path:
    """Where a platform's addresses are unless another file is named."""
    return home.root / "platform" / "notify.yaml"


def read_notify(home: Home, path: Path | None = None) -> NotifySettings:
    """What a file says, or the home's own where none is named; without that nobody is told anything.

    Raises:
        MigakiError: it is not there though it was named, others can read it, or it holds something else. No message shows an address.
    """
    named, path = path is not None, path or notify_file(home)
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if named:
            raise MigakiError(f"--notify {path}: the file is not there") from error
        return NotifySettings()
    except (OSError, UnicodeDecodeError) as error:
        raise MigakiError(f"{path} cannot be read: {type(error).__name__}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise MigakiError(f"{path} can be read by others than its owner, and its addresses are secrets: `chmod 600 {path}`")
    return _settings(path, text)


def _settings(path: Path, text: str) -> NotifySettings:
    try:
        said = yaml.safe_load(text) or {}
    except yaml.MarkedYAMLError as error:  # whose own words quote the line
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise MigakiError(f"{path}, line {line}: this is no YAML ({error.problem})") from None
    except (ValueError, yaml.YAMLError):
        raise MigakiError(f"{path} is no YAML") from None
    if not isinstance(said, dict):
        raise MigakiError(
            f"{path} must hold names and values, such as `slack: https://...`; known are {', '.join(NotifySettings.model_fields)}"
        )
    for name in ADDRESSES:
        if said.get(name) is None:
            said.pop(name, None)
        elif wrong := _wrong(said[name]):
            raise MigakiError(f"{path}: {name} {wrong}; accepted is an address such as https://host/path (what stands there is not shown)")
    return NotifySettings.build("notify", said)


def _wrong(address: Any) -> str:
    """What keeps a value from being an address; "" for nothing."""
    if not isinstance(address, str) or not address.isascii() or not address.isprintable() or " " in address:
        return "is no address"
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 (raises where it is none)
    except ValueError:
        return "is no address"
    if parts.scheme not in ("http", "https"):
        return "begins with neither http:// nor https://"
    return "" if parts.hostname else "names no host"
