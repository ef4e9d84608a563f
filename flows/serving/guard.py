"""The safety filters as programs open them: with the classifier that a release names."""

from collections.abc import Collection
from dataclasses import replace

from storage.artifacts import ArtifactStore
from storage.home import Home
from tasks.chatbot.safety.classifier import Classifier
from tasks.chatbot.safety.guard import Guard
from tasks.chatbot.safety.settings import GuardSettings
from tasks.chatbot.safety.training import embed_with
from tasks.errors import MigakiError
from tasks.models.reference import resolve
from tasks.rag.embedding import Embedder


def open_guard(home: Home, settings: GuardSettings, classifier_id: str, loaded: Collection[Embedder] = ()) -> Guard:
    """The guard with a classifier of this home, or with rules alone (`guard.classifier` is None).

    Args:
        classifier_id: of the artifact, "" for rules alone.
        loaded: embedders that are there already; the one that the classifier was trained with is taken, if it is among them.

    Raises:
        MigakiError: the classifier cannot be read, or its embedder is gone or has become another one.
    """
    if not classifier_id:
        return Guard(settings)
    store = ArtifactStore(home)
    classifier = Classifier.load(store.path(store.get(classifier_id)))
    return Guard(settings, _with_embedder(classifier, home, loaded), classifier_id)


def _with_embedder(classifier: Classifier, home: Home, loaded: Collection[Embedder]) -> Classifier:
    """The classifier, able to tell what a request means if it was trained to. Raises what `open_guard` raises."""
    if classifier.meaning is None:
        return classifier
    for embedder in loaded:
        if embedder.fingerprint == classifier.meaning.fingerprint:
            return replace(classifier, embed=embed_with(embedder))
    backend, reference = classifier.meaning.backend, classifier.meaning.embedder
    model = resolve(reference, home)
    embedder = Embedder(model.path, backend=backend, checksum=model.checksum, cache=home.exports, reference=reference)
    if embedder.fingerprint != classifier.meaning.fingerprint:
        raise MigakiError(
            f"the safety classifier was trained with another embedder than {reference!r} is now: train it again with `migaki safety`"
        )
    return replace(classifier, embed=embed_with(embedder))
