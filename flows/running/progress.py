"""What lasts, as progress on Prefect's page: one artifact for each bar of a stage that takes longer than a look."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import httpx
from prefect import get_client, runtime
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.running.pages import plain

LASTS = 5.0  # seconds after which a bar is worth an artifact
EVERY = 10.0  # seconds between two updates of one
UNFIT = re.compile(r"[^a-z0-9]+")  # for the key of an artifact


def key_of(label: str) -> str:
    """The key under which artifacts of a label are found: Prefect takes small letters, digits and dashes. One without any of those is `progress`."""
    return UNFIT.sub("-", label.lower()).strip("-") or "progress"


@dataclass
class _Bar:
    told: float  # when it was told last, or tried to be
    artifact: UUID | None = None


class ProgressArtifacts:
    """Follows the bars of one flow run (`tasks.progress.Watch`). That the server does not answer for a while costs no stage anything."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._flow_run, self._clock = UUID(runtime.flow_run.id), clock
        self._bars: dict[str, _Bar] = {}

    def __call__(self, label: str, share: float, last: bool) -> None:
        now = self._clock()
        bar = self._bars.setdefault(label, _Bar(now - EVERY + LASTS))
        if bar.artifact if last else now - bar.told >= EVERY:
            bar.told = now
            self._tell(label, bar, round(100 * share, 1))
        if last:
            del self._bars[label]

    def _tell(self, label: str, bar: _Bar, percent: float) -> None:
        # Tried once: the next update says more than this one.
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), get_client(sync_client=True, httpx_settings={"timeout": 5}) as client:
            try:
                if bar.artifact:
                    return client.update_artifact(bar.artifact, ArtifactUpdate(data=percent))
                made = ArtifactCreate(
                    key=key_of(label), type="progress", description=plain(label), data=percent, flow_run_id=self._flow_run
                )
                bar.artifact = client.create_artifact(made).id
            except (httpx.HTTPError, PrefectHTTPStatusError):
                return
