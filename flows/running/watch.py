"""A platform watches documents: what changes among them is told, once it has been quiet for a while, so that the index is made anew.

Files are looked at by their sizes and times. Only what differs there is read, so that a file that was copied over itself tells nobody anything.
What was told last stands in the home: what changes while no platform runs is told by the next one.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from flows.running.parameters import merge, read_config
from storage.files import replacing
from storage.home import Home
from tasks.documents.listing import Listed, listed
from tasks.errors import MigakiError
from tasks.rag.fingerprint import TABLE
from tasks.settings import StageSettings

EVERY = 5.0  # seconds between two looks, at most
IDLE, PENDING = 200, 50  # times as long as a look took is waited before the next: 0.5 % of a core, 2 % while something waits to be told
RESTLESS = 600.0  # seconds of changes without a pause, after which that is said
SHOWN = 5  # names of files that a line says

Files = dict[str, tuple[str, str]]  # (mark, digest) by path


class WatchSettings(StageSettings):
    """What a platform watches: section `index` of its own settings."""

    PATHS: ClassVar[set[str]] = {"watch"}

    watch: list[str] = Field(
        [],
        description="Files, folders and globs, as index.documents takes them: all that are to be in the index, which is made anew when they change. "
        "Relative ones lie in the project's folder, from which a platform's runs look. Tables of the catalog are indexed with them and not watched. "
        "Empty watches nothing",
    )
    quiet_seconds: float = Field(30, ge=1, le=86_400, description="How long nothing may have changed there before the index is made anew")


def settings_file(home: Home) -> Path:
    """Where a platform's settings are that are no run's."""
    return home.root / "platform" / "settings.yaml"


def told_file(home: Home) -> Path:
    """What is watched, and how it was when that was told last."""
    return home.root / "platform" / "watched.json"


def read_watch(home: Home, said: Mapping[str, dict[str, Any]]) -> WatchSettings:
    """What the home's file says, under what was said to the command.

    Raises:
        MigakiError: the file cannot be read, or one of them says something that a platform does not know, or does not take.
    """
    path = settings_file(home)
    layers = merge(*([read_config(path)] if path.exists() else []), dict(said))
    if unknown := sorted(section for section, values in layers.items() if values and section != "index"):
        known = ", ".join(f"index.{name}" for name in WatchSettings.model_fields)
        raise MigakiError(
            f"{', '.join(unknown)}: of these a platform has no settings, in {path} and in what was said to it; it has {known}. Those of runs stand in prefect.yaml"
        )
    return WatchSettings.build("index", layers.get("index", {}))


def watched(home: Home) -> list[str]:
    """What this home's platform watches; nothing where it watches nothing, or none was started yet."""
    return _read(told_file(home))[0]


def watch_from(
    home: Home, settings: WatchSettings, tell: Callable[[list[str], dict[str, int]], object], say: Callable[[str], object]
) -> Callable[[], object]:
    """What a platform calls each second: nothing, where nothing is to be watched.

    Args:
        tell: tells that these documents changed, with counts of files.

    Raises:
        MigakiError: what is to be watched is not there, and never was; or the platform's runs must not read it; or the home lies in it; or
            there are only tables.
    """
    path = told_file(home)
    if not settings.watch:
        path.unlink(missing_ok=True)
        return lambda: None
    # With all that roots know of settings, 17 MB, which a platform that watches nothing does without.
    from flows.running.roots import PROJECT, allowed, hold_to, placed

    documents = [placed(spec, PROJECT) for spec in settings.watch]
    hold_to(allowed(), {"index": settings.model_copy(update={"watch": documents})})
    _require_watchable(home, documents)
    return Watcher(documents, settings.quiet_seconds, path, lambda counts: tell(documents, counts), say).look


def _require_watchable(home: Home, documents: Sequence[str]) -> None:
    place = home.root.resolve()
    if all(spec.startswith(TABLE) for spec in documents):
        raise MigakiError(f"index.watch = {documents!r}: tables are not watched; name files, folders or globs too, or nothing")
    for spec in documents:
        folder = Path(spec.partition("**")[0]).resolve()
        if place.is_relative_to(folder) and not any(part.startswith(".") for part in place.relative_to(folder).parts):
            # What a run writes there would begin the next one.
            raise MigakiError(f"index.watch = {spec!r} holds MIGAKI_HOME, {str(place)!r}, where each run writes: name what lies beside it")


@dataclass
class Once:
    """Says what is wrong once, however often it is found."""

    say: Callable[[str], object]
    last: str = ""

    def wrong(self, text: str) -> None:
        if text != self.last:
            self.say(text)
        self.last = text


class Watcher:
    """Looks at documents in a thread, since a folder that is mounted may let one wait, and tells what changed once it has been quiet."""

    def __init__(
        self,
        documents: Sequence[str],
        quiet: float,
        path: Path,
        tell: Callable[[dict[str, int]], object],
        say: Callable[[str], object],
    ):
        """
        Args:
            documents: what is watched, by absolute paths.
            quiet: seconds without a change before one is told.
            path: of the file that keeps what was told last.
            tell: tells that documents changed, with counts of files.

        Raises:
            MigakiError: a document is not there, and was not when the file was written.
        """
        self.documents = list(dict.fromkeys(documents))
        self.quiet, self.path, self.tell, self.say = quiet, path, tell, say
        self._places = [spec for spec in self.documents if not spec.startswith(TABLE)]
        before, self._told = _read(path)
        for spec in self._places:
            if spec not in before:
                _listed_of_watch(spec)
        if before != self.documents:
            _write(path, self.documents, self._told)
        self._lost, self._failed = Once(say), Once(say)
        self._last: dict[str, str] | None = None  # marks by path, as they were last
        self._since = self._moving = time.monotonic()  # since when they are as they are; and were last as they had been told
        self._due, self._pending = time.monotonic(), False  # the time of the next look; whether something waits to be told
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Look where it is time to, and the last look is over."""
        if time.monotonic() < self._due or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        began = time.monotonic()
        try:
            self._compare()
        except Exception as error:  # of whatever kind: it would end the thread each time, and be said each time
            self._failed.wrong(f"index.watch cannot look: {type(error).__name__}: {error}")
        self._due = time.monotonic() + max(min(EVERY, self.quiet), (PENDING if self._pending else IDLE) * (time.monotonic() - began))

    def _compare(self) -> None:
        try:
            found = self._found()
        except MigakiError as gone:  # a folder that is not mounted has lost nothing
            self._lost.wrong(f"{gone}. Is it not mounted? Nothing is told until it is there again, or is taken out of index.watch")
            self._last, self._moving, self._pending = None, time.monotonic(), False
            return
        if self._lost.last:
            self.say("index.watch: all that is watched is there again")
            self._lost.last = ""
        now, marks = time.monotonic(), _marks(found)
        if marks != self._last:
            self._last, self._since = marks, now
        known = {path: mark for files in self._told.values() for path, (mark, _) in files.items()}
        self._pending = list(self._told) != self.documents or marks != known
        if not self._pending:
            self._moving, self._failed.last = now, ""
        elif now - self._since >= self.quiet:
            self._settle(found)
        elif now - self._moving > (long := max(RESTLESS, 2 * self.quiet)):
            self._failed.wrong(
                f"documents of index.watch have been changing for more than {long / 60:.0f} minutes without {self.quiet:g} s of quiet: nothing was told yet"
            )

    def _found(self) -> dict[str, dict[str, Listed]]:
        """What there is, by what was named.

        Raises:
            MigakiError: some of that is gone as a whole.
        """
        found = {}
        for spec in self._places:
            before = self._told.get(spec, {})
            found[spec] = _listed_of_watch(spec)
            for path, one in found[spec].items():
                if one.file.barred and any(Path(path) in Path(old).parents for old in before):
                    raise MigakiError(f"index.watch: of {path!r}, {one.file.barred}")
            if before and not found[spec]:
                raise MigakiError(f"index.watch: {spec!r} has no document any more")
        return found

    def _settle(self, found: dict[str, dict[str, Listed]]) -> None:
        """Tell what changed, if the contents did, and keep how it is now."""
        now: dict[str, Files] = {spec: {} for spec in self.documents}  # of a table nothing is known
        for spec, files in found.items():
            known = self._told.get(spec, {})
            now[spec] = {
                path: (one.mark, known[path][1] if path in known and known[path][0] == one.mark else one.file.digest())
                for path, one in files.items()
            }
        old, new = _digests(self._told), _digests(now)
        if not new:  # nothing to index yet
            return
        lists = {
            "added": sorted(new.keys() - old.keys()),
            "changed": sorted(path for path in new.keys() & old.keys() if new[path] != old[path]),
            "removed": sorted(old.keys() - new.keys()),
        }
        if any(lists.values()) or list(self._told) != self.documents:
            try:
                self.tell({name: len(paths) for name, paths in lists.items()})
            except OSError as error:
                return self._failed.wrong(f"the server could not be told that documents changed, and is told again: {error}")
            self.say(_in_words(lists))
        self._told, self._moving, self._failed.last = now, time.monotonic(), ""
        _write(self.path, self.documents, now)


def _listed_of_watch(spec: str) -> dict[str, Listed]:
    """
    Raises:
        MigakiError: there is nothing there; names the setting.
    """
    try:
        return listed(spec)
    except MigakiError as error:
        raise MigakiError(str(error).replace("prepare.documents", "index.watch", 1)) from error


def _marks(found: Mapping[str, Mapping[str, Listed]]) -> dict[str, str]:
    return {path: one.mark for files in found.values() for path, one in files.items()}


def _digests(told: Mapping[str, Files]) -> dict[str, str]:
    return {path: digest for files in told.values() for path, (_, digest) in files.items()}


def _in_words(lists: Mapping[str, Sequence[str]]) -> str:
    counts = ", ".join(f"{len(paths):,} {name}" for name, paths in lists.items() if paths)
    names = [Path(path).name for paths in lists.values() for path in paths]
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    what = (
        f"documents changed ({counts}: {', '.join(names[:SHOWN])}{more})"
        if names
        else "index.watch names the same documents in another way"
    )
    return f"{what}: the index is made anew"


def _read(path: Path) -> tuple[list[str], dict[str, Files]]:
    """What was watched, and how it was; nothing where that was never written, or is no more what was written: all is told anew then."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        told = {spec: {name: (mark, digest) for name, (mark, digest) in files.items()} for spec, files in said["told"].items()}
        return list(said["documents"]), told
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return [], {}


def _write(path: Path, documents: Sequence[str], told: Mapping[str, Files]) -> None:
    with replacing(path) as draft:
        draft.write_text(json.dumps({"documents": list(documents), "told": told}), encoding="utf-8")
