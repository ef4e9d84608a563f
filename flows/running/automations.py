"""The automations of a platform that tell people: what they wait for, what they say, and how a server comes to have just these."""

import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from prefect import get_client
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events import Event, Resource
from prefect.events.actions import CallWebhook
from prefect.events.filters import AutomationFilter, AutomationFilterTags, EventFilter, EventNameFilter, EventOccurredFilter
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from flows.running.events import GUARD_BROKEN, INDEX_REFUSED, MONITOR_ALERT, RELEASE_PENDING, TEST
from flows.running.notifications import TARGETS, NotifySettings

NAME, TRIED = "Migaki: ", "notifications are tried"
TAG = "migaki-notifications"  # by which ours are known again: others stay as they are
ALONE = ("retrain", "harvest", "index", "monitor")  # flows that a schedule or an event starts, with nobody looking on
BEGUN = ("Pending", "Running", "AwaitingConcurrencySlot", "Cancelling", "Cancelled", "Completed", "Failed", "Crashed")

RUN = "{{ flow.name }} {{ flow_run.name }}"
WHY = "{{ flow_run.state.message | default('no message', true) | truncate(500, true) }}"
REASON = "{{ event.payload.reason | default('', true) | truncate(1000, true) }}"
# No text of others is markup where it arrives: no link, image, mention or command of Slack's, nor of what has Markdown in its place.
AS_TEXT = " | ".join(
    f"replace({old!r}, {new!r})"
    for old, new in {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "@\u2060", "://": ":\u2060//", "](": "]\u2060("}.items()
)
BODIES = {
    "webhook": '{"text": {{ text | tojson }}, "automation": {{ automation.name | tojson }}, "event": {{ event.event | tojson }}, '
    '"occurred": {{ event.occurred | string | tojson }}, "resource": {{ event.resource.id | tojson }}, '
    '"link": {{ link | tojson }}, "payload": {{ event.payload | tojson }}}',
    "slack": '{"text": {{ (text | ' + AS_TEXT + ' ~ (" " ~ link if link else "")) | tojson }}}',
}


@dataclass(frozen=True)
class Told:
    """One thing that people are told of.

    Attributes:
        text: what they read, as a Jinja template of Prefect's automations.
        within: seconds in which one of `expect` must follow one of `after`, and nothing is told; None tells of `expect` itself.
        of_run: whether it is about a flow run, so that there is a page to link to.
    """

    name: str
    text: str
    expect: tuple[str, ...]
    match: dict[str, str | list[str]] = field(default_factory=dict)
    related: dict[str, str | list[str]] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    within: float | None = None
    of_run: bool = False


def all_told(settings: NotifySettings) -> list[Told]:
    """What people are told of."""
    runs: dict[str, str | list[str]] = {"prefect.resource.id": "prefect.flow-run.*"}
    alone: dict[str, str | list[str]] = {"prefect.resource.role": "flow", "prefect.resource.name": list(ALONE)}
    failed, crashed = ("prefect.flow-run.Failed", "prefect.flow-run.TimedOut"), ("prefect.flow-run.Crashed",)
    again = "A platform begins it again, up to ten times."
    return [
        Told("a run failed", f"{RUN} failed: {WHY}", failed, runs, alone, of_run=True),
        Told("a run crashed", f"{RUN} crashed: {WHY}. {again}", crashed, runs, alone, of_run=True),
        Told(
            "a run is late",
            f"{RUN} should have begun and has not, for more than {settings.late_minutes:g} minutes.",
            tuple(f"prefect.flow-run.{state}" for state in BEGUN),
            runs,
            after=("prefect.flow-run.Late",),
            within=settings.late_minutes * 60,
            of_run=True,
        ),
        Told(
            "no worker is alive",
            "The work pool {{ event.resource.name }} has no worker that is alive: nothing of it runs.",
            ("prefect.work-pool.ready", "prefect.work-pool.paused"),
            {"prefect.resource.id": "prefect.work-pool.*"},
            after=("prefect.work-pool.not-ready",),
            within=settings.worker_minutes * 60,
        ),
        Told("a guard broke", f"A guard broke in {{{{ event.payload.stage }}}}: {REASON}", (GUARD_BROKEN,)),
        Told("an index does not go live", f"The index {{{{ event.resource.name }}}} does not go live: {REASON}", (INDEX_REFUSED,)),
        Told(
            "a release waits for a person", f"The release {{{{ event.resource.name }}}} waits for a decision: {REASON}", (RELEASE_PENDING,)
        ),
        Told("a figure left its range", f"The chatbot in the week of {{{{ event.resource.name }}}}: {REASON}", (MONITOR_ALERT,)),
        Told(TRIED, "Migaki tries whether this arrives. Nothing is wrong.", (TEST,)),
    ]


def wanted(settings: NotifySettings, blocks: dict[str, UUID]) -> list[AutomationCore]:
    """What a server is to have; nothing where nobody is to be told.

    Args:
        blocks: of the targets that are set, by their names.
    """
    return [_automation(told, blocks) for told in all_told(settings)] if blocks else []


def _automation(told: Told, blocks: dict[str, UUID]) -> AutomationCore:
    # What is waited after is expected too: where it comes again while time runs, time begins anew, and it would be passed over otherwise.
    waits: dict[str, Any] = {"posture": Posture.Reactive, "within": timedelta(0)}
    if told.within is not None:
        waits = {"posture": Posture.Proactive, "within": timedelta(seconds=told.within), "after": set(told.after)}
    link = "{{ flow_run | ui_url }}" if told.of_run else ""
    head = f"{{% set text %}}{told.text}{{% endset %}}{{% set link %}}{link}{{% endset %}}"
    return AutomationCore(
        name=f"{NAME}{told.name}",
        description="Made anew by `migaki platform`: what is changed here is lost, but that it is switched off.",
        tags=[TAG],
        trigger=EventTrigger(
            expect={*told.expect, *told.after},
            match=told.match,
            match_related=told.related,
            for_each={"prefect.resource.id"},
            threshold=1,
            **waits,
        ),
        actions=[CallWebhook(block_document_id=block, payload=head + BODIES[name]) for name, block in blocks.items()],
    )


def apply(settings: NotifySettings) -> list[str]:
    """Give the server of this process's Prefect just the automations that these settings want, and say what changed. One that somebody switched off stays off.

    Raises:
        httpx.HTTPError: the server does not answer, or refuses.
    """
    changed = []
    with get_client(sync_client=True) as client:
        blocks = {name: _block(name, settings.address(name)) for name in TARGETS if settings.address(name)}
        left = {
            one.name: one for one in client.read_automations(automations=AutomationFilter(tags=AutomationFilterTags(all_=[TAG])), limit=200)
        }
        for one in wanted(settings, blocks):
            found = left.pop(one.name, None)
            if found is None:
                client.create_automation(one)
                changed.append(f"{one.name}: added")
            elif not _same(found, one):
                client.update_automation(found.id, one.model_copy(update={"enabled": found.enabled}))
                changed.append(f"{one.name}: changed")
        for name, found in left.items():
            client.delete_automation(found.id)
            changed.append(f"{name}: removed")
        for name in set(TARGETS) - set(blocks):
            _remove_block(client, name)
    return changed


def _same(found: AutomationCore, one: AutomationCore) -> bool:
    """Whether an automation is as it should be, so that what it waits for at the moment is not forgotten."""
    names = set(AutomationCore.model_fields) - {"enabled"}
    return AutomationCore.model_validate(found.model_dump()).model_dump(include=names) == one.model_dump(include=names)


def _block(name: str, address: str) -> UUID:
    """The block with a target's address, which Prefect keeps encrypted and shows nobody."""
    block = Webhook(url=address, headers={"Content-Type": "application/json"})
    return cast(UUID, block.save(f"migaki-{name}", overwrite=True))  # a coroutine only inside an event loop, and this is none


def _remove_block(client: SyncPrefectClient, name: str) -> None:
    with suppress(ObjectNotFound):
        client.delete_block_document(client.read_block_document_by_name(f"migaki-{name}", "webhook", include_secrets=False).id)


def tried(settings: NotifySettings, seconds: float = 40) -> dict[str, str]:
    """Have the server tell its targets that this is a trial; of each, why that failed, "" where its receiver took it.

    Raises:
        httpx.HTTPError: the server does not answer, or refuses.
    """
    names = [name for name in TARGETS if settings.address(name)]
    trial = Event(
        event=TEST, resource=Resource({"prefect.resource.id": f"migaki.notifications.{uuid4()}", "prefect.resource.name": "a trial"})
    )
    actions = EventNameFilter(prefix=["prefect.automation.action."])
    found: dict[str, str] = {}
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[trial.model_dump(mode="json")])
        until = time.monotonic() + seconds
        while len(found) < len(names) and time.monotonic() < until:
            time.sleep(0.5)
            since = EventOccurredFilter(since=trial.occurred, until=trial.occurred + timedelta(hours=1))
            for event in client.read_events(EventFilter(occurred=since, event=actions), limit=50).events:
                if event.resource.name == f"{NAME}{TRIED}" and event.event.endswith((".executed", ".failed")):
                    found[names[event.payload["action_index"]]] = _failure(event.payload)
    never = f"Prefect did nothing within {seconds:.0f} s: is the automation {NAME + TRIED!r} switched off?"
    return {name: found.get(name, never) for name in names}


def _failure(payload: dict[str, Any]) -> str:
    """Why an action of Prefect's reached nobody; "" where its receiver took it."""
    if "status_code" not in payload:
        return str(payload.get("reason", "no reason is given"))
    return "" if 200 <= payload["status_code"] < 300 else f"its receiver answers with HTTP {payload['status_code']}"
