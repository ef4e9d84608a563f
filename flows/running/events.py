"""What Migaki tells Prefect's server by itself: a release that was decided on, an index that goes live or does not, a guard that broke.

Whatever hears events (automations, other programs) may rest on these names; what an event holds is in docs/operating.md.
"""

import json
import logging
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from flows.running.local import address_of
from flows.running.secret import read_secret
from flows.running.supervisor import Api
from storage.artifacts import ArtifactRef
from storage.home import Home
from storage.kinds import Adapter
from storage.releases import Promotion
from tasks.errors import MigakiError
from tasks.rlhf.guards import DONE

RELEASE_PROMOTED = "migaki.release.promoted"
RELEASE_KEPT = "migaki.release.kept"  # the champion stays
RELEASE_PENDING = "migaki.release.pending"  # a person is to decide
INDEX_LIVE = "migaki.index.live"
INDEX_REFUSED = "migaki.index.refused"
GUARD_BROKEN = "migaki.guard.broken"
MONITOR_ALERT = "migaki.monitor.alert"  # a figure of the chatbot left its range
DECIDED = {
    "promote": RELEASE_PROMOTED,
    "rollback": RELEASE_PROMOTED,
    "keep": RELEASE_KEPT,
    "inconclusive": RELEASE_KEPT,
    "refuse": RELEASE_KEPT,
    "expired": RELEASE_KEPT,
    "pending": RELEASE_PENDING,
}
CORPUS_UPDATED = "corpus.updated"  # documents changed: on this the deployment `index` begins a run (prefect.yaml)
TEST = "migaki.notifications.test"
LONGEST = 4000  # characters of a text in a payload: reasons may quote what others wrote
LARGEST = 1_400_000  # bytes: an event of more than 1.5 MB Prefect's server (3.8.8) drops, and answers as if it had not

log = logging.getLogger(__name__)


def emit(home: Home, event: str, kind: str, id: str, facts: Mapping[str, Any]) -> None:
    """Tell the server of the flow that runs in this process; outside of flows the home's platform, where one runs, and else nobody.

    What is told is told beside the work: where it cannot be, the log has a line, and nothing fails.

    Args:
        kind: what the event is of, such as release or index; the event's resource is `migaki.KIND.ID`.
        facts: the payload: numbers, texts, lists of texts.
    """
    resource = {"prefect.resource.id": f"migaki.{kind}.{id}", "prefect.resource.name": id[:12]}
    payload = {name: _short(value) for name, value in facts.items()}
    try:
        if _in_a_flow():
            from prefect.events import emit_event  # loaded already, as a flow runs

            emit_event(event, resource, payload=payload)
        elif (address := address_of(home)) is not None:
            Api(address, read_secret(home))("/events", [as_told(event, resource, payload)])
    except Exception as error:  # of whatever kind: the decision stands, and must not fail because nobody could be told
        log.warning("the event %s of the %s %s was not told: %s: %s", event, kind, id[:12], type(error).__name__, error)


def as_told(event: str, resource: Mapping[str, str], payload: Mapping[str, Any]) -> dict[str, Any]:
    """An event of this moment, as the API takes it."""
    return {
        "event": event,
        "resource": resource,
        "payload": payload,
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
    }


def tell_of_decision(home: Home, promotion: Promotion) -> None:
    """What was decided on a release, by the gate or by a person, as it stands in the catalog."""
    facts = {name: value for name, value in asdict(promotion).items() if value is not None and name != "release_id"}
    emit(home, DECIDED[promotion.decision], "release", promotion.release_id, facts)


def tell_of_guards(home: Home, kind: str, id: str, stage: str, broken: Sequence[str]) -> None:
    """Which guards broke, in words."""
    emit(home, GUARD_BROKEN, kind, id, {"stage": stage, "reason": "; ".join(broken), "guards": list(broken)})


def tell_of_policy(home: Home, made: ArtifactRef) -> None:
    """What stopped RLHF before its time, and whether the policy pleases its reward model without getting better; of other artifacts nothing."""
    if made.kind != "adapter":
        return
    record = Adapter.of(made.meta, f"the adapter {made.id[:12]}")
    if broken := [words for words in (record.ending, record.alarm) if words and words != DONE]:
        tell_of_guards(home, "adapter", made.id, "align", broken)


def tell_of_documents(api: Api, documents: Sequence[str], counts: Mapping[str, int]) -> None:
    """That documents changed. What is told is an order, unlike the rest here: where it cannot be told, that is an error.

    Args:
        documents: all that are to be in the index, as `index.documents` takes them; none leaves it to the deployment.
        counts: of files, by what became of them.

    Raises:
        MigakiError: there are too many for one event.
        OSError: the server does not answer, or refuses.
    """
    resource = {"prefect.resource.id": "migaki.corpus.documents", "prefect.resource.name": "documents"}
    event = as_told(CORPUS_UPDATED, resource, {**({"documents": list(documents)} if documents else {}), **counts})
    if (size := len(json.dumps(event))) > LARGEST:
        raise MigakiError(f"{len(documents):,} names are {size:,} bytes, and an event takes {LARGEST:,}: name the folders that they lie in")
    api("/events", [event])


def _in_a_flow() -> bool:
    """Commands outside of flows do not wait the seconds that importing Prefect takes."""
    context = sys.modules.get("prefect.context")
    return context is not None and context.FlowRunContext.get() is not None


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value[:LONGEST]
    return [_short(one) for one in value] if isinstance(value, list | tuple) else value
