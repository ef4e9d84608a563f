"""What the evaluation asks that no setting names."""

from storage.files import sha256_of
from tasks.evaluation.chat_items import BUNDLED
from tasks.settings import StageSettings


def bundled(settings: StageSettings) -> dict[str, str]:
    """The bundled items, by name."""
    return {BUNDLED.name: sha256_of(BUNDLED)}
