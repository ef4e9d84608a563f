"""The study prompt_study on the team's own questions: the chatbot of a release with each template."""

from storage.artifacts import ArtifactRef
from storage.kinds import Release, Studied
from tasks.answering.ways import chosen
from tasks.asking.questions import as_they_are
from tasks.asking.task_opening import open_documents, opened_engine
from tasks.data.records import load_questions
from tasks.errors import MigakiError
from tasks.prompts.library.library import open_library
from tasks.rag.task_opening import open_retriever
from tasks.stages.work import Work, require
from tasks.studies.prompting.own import NOTES, OwnPrompts, read_prompts
from tasks.studies.prompting.settings import OwnPromptsSettings
from tasks.studies.prompting.task_solving import record_prompts
from tasks.studies.task_run import studied


def own_prompts(settings: OwnPromptsSettings, inputs: dict[str, ArtifactRef], work: Work) -> Studied:
    """Ask the team's questions whose answers can be judged.

    Raises:
        MigakiError: there are none, or a template is none that a release can have.
    """
    library = open_library(settings.prompts)
    prompts = read_prompts(settings.templates, library)
    release = work.record(require(inputs, "release", "quantize"), Release)
    retriever = open_retriever(inputs, work)
    questions = load_questions(work.open(require(inputs, "dataset", "prepare")))
    asked = chosen(as_they_are(questions, open_documents(retriever)), settings.items)
    if not asked:
        raise MigakiError(
            "no question of the dataset has `accept`, by which an answer can be judged: `migaki questions check` says what is missing"
        )

    study = OwnPrompts(asked, release, prompts, library.taken_up, lambda variant: opened_engine(variant, retriever, work))
    record_prompts((prompt for own in prompts.values() for prompt in own.values()), work)
    return studied(study, work, notes=NOTES)
