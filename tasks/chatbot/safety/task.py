"""The stage safety: train the classifier of harmful requests and measure it on the examples put aside."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from storage.artifacts import ArtifactRef, ArtifactStore
from storage.home import Home
from storage.registry import newest_classifier
from tasks.chatbot.safety.settings import ClassifierSettings, GuardSettings
from tasks.errors import MigakiError
from tasks.models.reference import resolve
from tasks.stages.stage import Work, stage

if TYPE_CHECKING:
    from tasks.chatbot.safety.classifier import Classifier
    from tasks.chatbot.safety.guard import Guard
    from tasks.rag.embedding import Embedder

LABELS = {True: "refused", False: "over_refused"}


def training_files(settings: ClassifierSettings) -> dict[str, Any]:
    """What the stage reads, by content: enters the key in place of the paths."""
    from storage.files import sha256_of
    from tasks.chatbot.safety.training import located

    return {kind: [sha256_of(located(path)) for path in getattr(settings, kind)] for kind in sorted(settings.PATHS)}


@stage("safety", kind="classifier", settings=ClassifierSettings, uses=("embedder",), fingerprint=training_files)
def safety(settings: ClassifierSettings, inputs: dict[str, ArtifactRef], work: Work) -> None:
    """Train on the rows of the files named; report how many held-out requests the whole filter refuses, harmful and harmless, by language."""
    from tasks.chatbot.safety.guard import Guard
    from tasks.chatbot.safety.training import rates, read_examples, train
    from tasks.rag.embedding import Embedder

    examples = read_examples(settings)
    embedder = Embedder(work.embedder.path, work.device, checksum=work.embedder.checksum) if settings.meaning else None
    with work.progress("safety: train", 1) as bar:
        classifier = train(examples, settings, embedder)
        bar.advance()
    if classifier.meaning is not None:
        classifier = replace(classifier, meaning=replace(classifier.meaning, embedder=work.embedder.reference))
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


def open_guard(home: Home, settings: GuardSettings, loaded: "Embedder | None" = None) -> "Guard":
    """The guard with the newest classifier of this home, or with rules alone (`guard.classifier` is None) before the first.

    Args:
        loaded: an embedder that is there already; taken if it is the one that the classifier was trained with.

    Raises:
        MigakiError: the classifier cannot be read, or its embedder is gone or has become another one.
    """
    from tasks.chatbot.safety.classifier import Classifier
    from tasks.chatbot.safety.guard import Guard

    row = newest_classifier(home)
    if row is None:
        return Guard(settings)
    store = ArtifactStore(home)
    classifier = Classifier.load(store.path(store.get(row.artifact_id)))
    return Guard(settings, _with_embedder(classifier, home, loaded), row.artifact_id)


def _with_embedder(classifier: "Classifier", home: Home, loaded: "Embedder | None") -> "Classifier":
    """The classifier, able to tell what a request means if it was trained to. Raises what `open_guard` raises."""
    if classifier.meaning is None:
        return classifier
    from tasks.chatbot.safety.training import embed_with
    from tasks.rag.embedding import Embedder

    if loaded is None or loaded.fingerprint != classifier.meaning.fingerprint:
        model = resolve(classifier.meaning.embedder, home)
        loaded = Embedder(model.path, checksum=model.checksum)
    if loaded.fingerprint != classifier.meaning.fingerprint:
        raise MigakiError(
            f"the safety classifier was trained with another embedder than {classifier.meaning.embedder!r} is now: train it again with `migaki safety`"
        )
    return replace(classifier, embed=embed_with(loaded))
