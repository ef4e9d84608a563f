"""The stage safety: train the classifier of harmful requests and measure it on the examples put aside."""

from typing import Any

from storage import ArtifactRef, ArtifactStore, Home
from storage.registry import newest_classifier
from tasks.chatbot.safety.settings import ClassifierSettings, GuardSettings
from tasks.stage import Work, stage

LABELS = {True: "refused", False: "over_refused"}


def training_files(settings: ClassifierSettings) -> dict[str, Any]:
    """What the stage reads, by content: enters the key in place of the paths."""
    from tasks.chatbot.safety.training import located
    from tasks.data.sources import file_digest

    return {kind: [file_digest(located(path)) for path in getattr(settings, kind)] for kind in sorted(settings.PATHS)}


@stage("safety", kind="classifier", settings=ClassifierSettings, uses=(), fingerprint=training_files)
def safety(settings: ClassifierSettings, inputs: dict[str, ArtifactRef], work: Work) -> None:
    """Train on the rows of the files named; report how many held-out requests the whole filter refuses, harmful and harmless, by language."""
    from tasks.chatbot.safety.guard import Guard
    from tasks.chatbot.safety.training import rates, read_examples, train

    examples = read_examples(settings)
    with work.progress("safety: train", 1) as bar:
        classifier = train(examples, settings)
        bar.advance()
    classifier.save(work.path)
    guard = Guard(GuardSettings(), classifier)
    heldout = [example for example in examples if example.split == "heldout"]
    for (lang, harmful), rate in rates(heldout, lambda text: guard.check_input(text).blocked).items():
        name, (low, high) = f"{LABELS[harmful]}.{lang}", rate.interval
        for part, value in ((name, rate.value), (f"{name}.low", low), (f"{name}.high", high), (f"{name}.items", rate.items)):
            work.metric(f"safety.{part}", value)
        work.meta[name] = rate.value
        work.log(f"safety: {lang}: {rate.count} of {rate.items} held-out {'harmful' if harmful else 'harmless'} requests are refused")
    for lang, value in classifier.thresholds.items():
        work.metric(f"safety.threshold.{lang}", value)
    work.headline("examples, features", len(examples), len(classifier.weights))


def open_guard(home: Home, settings: GuardSettings) -> Any:
    """The guard with the newest classifier of this home, or with rules alone (`guard.classifier` is None) before the first."""
    from tasks.chatbot.safety.classifier import Classifier
    from tasks.chatbot.safety.guard import Guard

    row = newest_classifier(home)
    if row is None:
        return Guard(settings)
    store = ArtifactStore(home)
    return Guard(settings, Classifier.load(store.path(store.get(row["artifact_id"]))), row["artifact_id"])
