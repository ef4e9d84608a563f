"""What the files hold that the stage safety learns from: enters its key in place of their paths."""

from typing import Any

from storage.files import sha256_of
from tasks.chatbot.safety.files import located
from tasks.chatbot.safety.settings import ClassifierSettings


def training_files(settings: ClassifierSettings) -> dict[str, Any]:
    return {kind: [sha256_of(located(path)) for path in getattr(settings, kind)] for kind in sorted(settings.PATHS)}
