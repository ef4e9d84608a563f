"""The safety filters as programs open them: with the classifier that a release names."""

from collections.abc import Collection
from functools import partial

from storage.artifacts import ArtifactStore
from storage.home import Home
from tasks.chatbot.safety.guard import Guard
from tasks.chatbot.safety.opening import guard_of
from tasks.chatbot.safety.settings import GuardSettings
from tasks.models.reference import resolve
from tasks.rag.embedding import Embedder


def open_guard(home: Home, settings: GuardSettings, classifier_id: str, loaded: Collection[Embedder] = ()) -> Guard:
    """The guard with a classifier of this home, or with rules alone (`guard.classifier` is None).

    Args:
        classifier_id: of the artifact, "" for rules alone.
        loaded: embedders that are there already.

    Raises:
        MigakiError: the classifier cannot be read, or its embedder is gone or has become another one.
    """
    if not classifier_id:
        return Guard(settings)
    store = ArtifactStore(home)
    folder = store.path(store.get(classifier_id))
    return guard_of(settings, classifier_id, folder, partial(resolve, home=home), home.exports, loaded)
