"""How the stage safety is declared."""

from tasks.chatbot.safety.settings import ClassifierSettings, SafetySettings
from tasks.stages.spec import StageSpec

SAFETY = StageSpec(
    name="safety",
    help="train the classifier of harmful requests that a release has beside its rules",
    settings=SafetySettings,
    counts=ClassifierSettings,
    kind="classifier",
    body="tasks.chatbot.safety.task:safety",
    models=("embedder", "embedder_en"),
    fingerprint="tasks.chatbot.safety.fingerprint:training_files",
)
