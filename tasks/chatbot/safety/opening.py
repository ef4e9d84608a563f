"""The safety filters with a classifier that was trained before."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from tasks.chatbot.safety.classifier import Classifier
from tasks.chatbot.safety.guard import Guard
from tasks.chatbot.safety.settings import GuardSettings
from tasks.chatbot.safety.training import embed_with
from tasks.errors import MigakiError
from tasks.models.reference import ResolvedModel
from tasks.rag.embedding import Embedder


def guard_of(
    settings: GuardSettings,
    classifier_id: str,
    folder: Path,
    find: Callable[[str], ResolvedModel],
    exports: Path,
    loaded: Collection[Embedder] = (),
) -> Guard:
    """The guard with the classifier in a folder.

    Args:
        classifier_id: of its artifact.
        find: the model that a reference names.
        exports: folder that keeps embedders quantized to int8.
        loaded: embedders that are there already; the one that the classifier was trained with is taken, if it is among them.

    Raises:
        MigakiError: the classifier cannot be read, or its embedder is gone or has become another one.
    """
    classifier = Classifier.load(folder)
    if classifier.meaning is None:
        return Guard(settings, classifier, classifier_id)
    for embedder in loaded:
        if embedder.fingerprint == classifier.meaning.fingerprint:
            return Guard(settings, replace(classifier, embed=embed_with(embedder)), classifier_id)
    backend, reference = classifier.meaning.backend, classifier.meaning.embedder
    model = find(reference)
    embedder = Embedder(model.path, backend=backend, checksum=model.checksum, cache=exports, reference=reference)
    if embedder.fingerprint != classifier.meaning.fingerprint:
        raise MigakiError(
            f"the safety classifier was trained with another embedder than {reference!r} is now: train it again with `migaki safety`"
        )
    return Guard(settings, replace(classifier, embed=embed_with(embedder)), classifier_id)
