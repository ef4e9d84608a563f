"""The secret of a home's platform. Whoever holds it can run any command on the workers' machines as the one who started them."""

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from storage.home import Home
from tasks.errors import MigakiError

USER = "migaki"
FORM = re.compile(rf"{USER}:[A-Za-z0-9_-]{{43}}")


def new_secret() -> str:
    """`user:password`, as Prefect's server takes it: 256 bits of chance."""
    return f"{USER}:{secrets.token_urlsafe(32)}"


def secret_file(home: Home) -> Path:
    return home.root / "platform" / "secret"


def made_secret(home: Home) -> str:
    """The home's secret, made where there is none. One that others could read is none: another takes its place.

    Raises:
        MigakiError: the file cannot be read, or holds something else.
    """
    path = secret_file(home)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists():
        if not stat.S_IMODE(path.stat().st_mode) & 0o077:
            return read_secret(home)
        path.unlink()
    draft = path.with_name(f"secret.{secrets.token_hex(8)}.tmp")
    # Never there with another mode, nor with half of its text: of two that start at once, the first to link its own is the one both read.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(new_secret() + "\n")
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    return read_secret(home)


def read_secret(home: Home) -> str:
    """The secret of a platform that was started in this home before.

    Raises:
        MigakiError: there is none, it cannot be read, or the file holds something else.
    """
    path = secret_file(home)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise MigakiError(f"{path} is not there: `migaki platform` makes it when it first starts") from error
    except (OSError, UnicodeDecodeError) as error:
        raise MigakiError(f"the platform's secret {path} cannot be read: {error}") from error
    if not FORM.fullmatch(text):
        raise MigakiError(
            f"{path} holds no secret of the form {USER}:..., which `migaki platform` makes: remove it, and start the platform anew"
        )
    return text


def hide_secret() -> None:
    """Take the secret out of this process's environment, where Prefect has read it already: plug-ins and the tools that they start find none."""
    os.environ.pop("PREFECT_API_AUTH_STRING", None)
