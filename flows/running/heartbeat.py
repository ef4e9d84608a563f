"""A call to an address while all is well. Whoever has that address tells when the calls stay away: a dead machine cannot say that it is dead."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException

from flows.running.notifications import NotifySettings

PATIENCE = 20.0  # seconds for the call itself


class Heartbeat:
    """Calls an address each `every` seconds, in a thread, as long as `well` says so when it is due.

    What it says of a call that failed names no address, which is a secret.
    """

    def __init__(self, address: str, every: float, well: Callable[[], str], say: Callable[[str], object]):
        """
        Args:
            well: what is not well, in words; "" where all is.
        """
        self.address, self.every, self.well, self.say = address, every, well, say
        self._due, self._failed, self._wrong = time.monotonic(), "", ""
        self._call: threading.Thread | None = None

    def look(self) -> None:
        """Call where it is time to, and all is well. Where not, it is looked at again each time, so that the call is made as soon as all is."""
        if time.monotonic() < self._due or (self._call is not None and self._call.is_alive()):
            return
        if wrong := self.well():
            if wrong != self._wrong:
                self.say(f"no heartbeat: {wrong}")
            self._wrong, self._due = wrong, time.monotonic() + min(self.every, 5.0)
            return
        self._wrong, self._due = "", time.monotonic() + self.every
        self._call = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._call.start()

    def _beat(self) -> None:
        """Say where it fails, once, and when it works again."""
        failed = called(self.address)
        if failed and not self._failed:
            self.say(f"the heartbeat's address cannot be called: {failed}")
        elif self._failed and not failed:
            self.say("the heartbeat's address can be called again")
        self._failed = failed


def heartbeat(settings: NotifySettings, well: Callable[[], str], say: Callable[[str], object]) -> Callable[[], object]:
    """What a platform calls each second: nothing, where the settings name no address."""
    address = settings.address("heartbeat")
    return Heartbeat(address, settings.heartbeat_minutes * 60, well, say).look if address else lambda: None


def called(address: str) -> str:
    """GET an address: why it failed, "" where it answered with success."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers={"User-Agent": "migaki"}), timeout=PATIENCE):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answers with HTTP {error.code}"
    except (OSError, HTTPException) as error:
        cause = getattr(error, "reason", error)
        return str(getattr(cause, "strerror", None) or type(cause).__name__)  # other words of an error may quote the address
