"""The chatbot in evaluate: base, champion and release asked the same, each through the engine that serves it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import pyarrow.parquet as pq

from storage.artifacts import ArtifactRef, ArtifactStore, content_key, reference
from storage.kinds import Evaluation, Release
from tasks.asking.asking import Asked, Suite, clocked
from tasks.asking.task_opening import open_documents, opened_engine
from tasks.chatbot.release import Sections, answering_of
from tasks.chatbot.safety.training import load_heldout
from tasks.data.records import load_followups, load_questions
from tasks.evaluation.asking import Row, ask_all
from tasks.evaluation.chat_figures import chat_differences, chat_figures, own_measure, paired_rows, utility_figures
from tasks.evaluation.chat_items import chat_items
from tasks.evaluation.judge import Judging, judge
from tasks.evaluation.own_metrics import Metric, load_metrics, values_of
from tasks.evaluation.settings import EvaluateSettings
from tasks.rag.retrieval import Retriever
from tasks.stages.keys import code_hash
from tasks.stages.work import Work

BASE = "base"
COMPARED = (("release", BASE), ("release", "champion"))


@dataclass(frozen=True)
class Chatbot:
    """What answers in a role: a release, or the base model with the release's settings (then `release_id` is "")."""

    role: str
    release: Release
    release_id: str
    model: str  # id of the artifact, checksum of the base, or address of a server with the name of its model


@dataclass(frozen=True)
class Asking:
    """The rows of all chatbots, figures of them, what their answers depend on, by role, and how it went with the judge, in words."""

    rows: list[Row]
    figures: list[Row]
    chats: dict[str, str]
    judge: str


def ask_chatbots(settings: EvaluateSettings, inputs: Mapping[str, ArtifactRef], retriever: Retriever, work: Work) -> Asking:
    """Ask base, champion and release the same.

    Raises:
        MigakiError, StorageError: a part of one of them is gone or cannot be opened.
    """
    chatbots = _chatbots(inputs, work)
    items = _items(settings, inputs, retriever, work)
    rows, chats = list[Row](), dict[str, str]()
    accept = {item.id: item.accept for item in items if item.suite == "answerable"}
    said: dict[Metric, dict[tuple[str, str], float]] = {metric: {} for metric in load_metrics(settings.metrics)}
    for chatbot in chatbots:
        chats[chatbot.role] = _depends_on(chatbot, items, [inputs[role].id for role in ("index", "calibration") if role in inputs])
        kept = _kept(chats[chatbot.role], chatbot.role, work)
        timed = clocked(items, settings.timed_items)
        asked = timed if kept else items  # how long answers take depends on the moment, so all are timed in the same run
        ask = partial(_asked, chatbot, asked, len(timed), retriever, work)
        found = work.step("ask_chatbot", ask, chatbot.role)
        told = {(row["suite"], row["item_id"]): row for row in [*kept, *found]}
        rows += told.values()
        for metric, values in said.items():  # of each when it has answered: what is wrong with a metric shows before the next one is asked
            values |= values_of(metric, told.values(), accept)
    judging = _judged(settings, rows, chatbots, work)
    own = {
        name: own_measure(values) for name, values in [*((metric.name, values) for metric, values in said.items()), *judging.values.items()]
    }
    figures = [row for chatbot in chatbots for row in chat_figures(chatbot.role, rows, settings.resamples, own)]
    for role, other in COMPARED:
        figures += chat_differences(role, other, rows, settings.resamples, own)
    old = next((chatbot.release for chatbot in chatbots if chatbot.role == "champion"), chatbots[-1].release)
    cost_wrong = Sections.of({}, old).chat.cost_wrong  # as the gate has it
    figures += utility_figures(rows, [chatbot.role for chatbot in chatbots], COMPARED, cost_wrong)
    return Asking([*rows, *judging.rows], figures, chats, judging.told)


def _judged(settings: EvaluateSettings, rows: Sequence[Row], chatbots: Sequence[Chatbot], work: Work) -> Judging:
    """What the judge says of the release's answers beside the champion's, or where there is none the base's."""
    if not settings.judge:
        return Judging()
    against = chatbots[-2].role
    pairs = paired_rows(rows, "release", against, "answerable")
    key = os.environ.get("MIGAKI_JUDGE_KEY")
    judging = judge(settings.judge, settings.judge_model, key, pairs, settings.judge_items, settings.judge_seconds)
    work.log(f"evaluate: {judging.told}")
    return judging


def _chatbots(inputs: Mapping[str, ArtifactRef], work: Work) -> list[Chatbot]:
    """In the order in which they are asked, the release last."""
    of_role = {role: (inputs[role].id, work.record(inputs[role], Release)) for role in ("champion", "release") if role in inputs}
    found = [
        Chatbot(role, release, release_id, release.model or f"{release.server} {release.server_model}")
        for role, (release_id, release) in of_role.items()
    ]
    _, release = of_role["release"]
    answering = answering_of(work.model.reference, tuned=False)
    base = replace(release, model=work.model.checksum, server="", server_model="", answering=answering, headlines=None)
    return [Chatbot(BASE, base, "", work.model.checksum), *found]


def _items(settings: EvaluateSettings, inputs: Mapping[str, ArtifactRef], retriever: Retriever, work: Work) -> list[Asked]:
    """What all are asked, about documents that everybody may see: answers are kept where others read them."""
    folder = work.open(inputs["dataset"])
    requests = load_heldout(work.open(inputs["classifier"])) if "classifier" in inputs else []
    limits: dict[Suite, int] = {"harmful": settings.requests, "look_alike": settings.requests, "cross_language": settings.across}
    items, passed_over = chat_items(load_questions(folder), load_followups(folder), requests, open_documents(retriever), limits)
    work.metric("evaluate.chat.passed_over", passed_over)
    if passed_over:
        work.log(f"evaluate: {passed_over} questions are not put to the chatbot: nothing in the index that everybody may see answers them")
    return items


def _asked(chatbot: Chatbot, items: Sequence[Asked], timed: int, retriever: Retriever, work: Work) -> list[Row]:
    with (
        work.progress(f"evaluate: chatbot, {chatbot.role}", len(items)) as bar,
        opened_engine(chatbot.release, retriever, work, chatbot.release_id, base=chatbot.role == BASE) as engine,
    ):
        return ask_all(engine, items, chatbot.role, timed, on_done=bar.advance)


def _depends_on(chatbot: Chatbot, items: Iterable[Asked], searched: Sequence[str]) -> str:
    """What the chatbot's answers are made of, as a hash."""
    asked = [asdict(item) for item in items]
    return content_key({"release": chatbot.release.meta(), "items": asked, "index": searched, "code": code_hash(__name__)})


def _kept(key: str, role: str, work: Work) -> list[Row]:
    """The rows of an earlier evaluation in which the same answered the same; [] where there is none."""
    store = ArtifactStore(work.home)
    for manifest in reversed([own for own in store.manifests() if own["kind"] == "evaluation"]):
        chats = Evaluation.of(manifest["meta"], f"the evaluation {manifest['id'][:12]}").chats or {}
        former = next((name for name, own in chats.items() if own == key), None)
        if former is not None and store.is_whole("evaluation", manifest["id"]):
            path = store.path(reference(manifest)) / "tables" / "evaluation_answers.parquet"
            rows = pq.read_table(path, filters=[("model", "=", former), ("outcome", "!=", "")]).to_pylist()
            return [row | {"model": role} for row in rows]
    return []
