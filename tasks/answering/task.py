"""The stage answering: the release's model asked the team's own questions, and each language answered in the way that is worth most."""

from storage.artifacts import ArtifactRef
from storage.kinds import Answering, Release, Ways
from tasks.answering.settings import AnsweringSettings
from tasks.answering.ways import WAYS, Row, ask_in_each_way, chosen, decide
from tasks.asking.asking import Asked
from tasks.asking.questions import as_they_are
from tasks.asking.task_opening import open_documents, opened_engine
from tasks.chatbot.release import Sections
from tasks.data.records import load_questions
from tasks.rag.retrieval import Retriever
from tasks.rag.task_opening import open_retriever
from tasks.stages.work import Work, require


def answering(settings: AnsweringSettings, inputs: dict[str, ArtifactRef], work: Work) -> Ways:
    """Ask a part of the team's questions in every way, and choose by language. The release brings what holds where too few can be judged."""
    ref = require(inputs, "release", "quantize")
    release = work.record(ref, Release)
    retriever = open_retriever(inputs, work)
    questions = load_questions(work.open(require(inputs, "dataset", "prepare")))
    items = chosen(as_they_are(questions, open_documents(retriever)), settings.questions)
    rows = _asked(release, items, retriever, work) if items else []
    languages = decide(rows, Sections.of({}, release).chat.cost_wrong, settings.margin, release.answering)
    for lang, own in languages.items():
        _say(lang, own.way, own.because, own.utility or {}, release.answering.get(lang), work)
    return Ways(release=ref.id, languages=languages)


def _asked(release: Release, items: list[Asked], retriever: Retriever, work: Work) -> list[Row]:
    with work.progress("answering", 2 * len(items)) as bar, opened_engine(release, retriever, work) as engine:
        return ask_in_each_way(engine, items, bar.advance)


def _say(lang: str, way: Answering, because: str, utility: dict[str, float], before: str | None, work: Work) -> None:
    told = ", ".join(f"{name} {utility[name]:.2f}" for name in WAYS if name in utility)
    work.headline(f"how it is answered ({lang}): {because}" + (f"; utility: {told}" if told else ""), before, way)
    for name, value in utility.items():
        work.metric(f"answering.{name.replace(' ', '_')}.{lang}", value)
