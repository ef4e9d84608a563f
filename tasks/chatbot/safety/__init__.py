"""Safety filters: harmful requests, personal data, and instructions hidden in documents."""

from tasks.chatbot.safety.guard import Decision, Guard, as_data, redact, refusal
from tasks.chatbot.safety.settings import GuardSettings, SafetySettings

__all__ = ["Decision", "Guard", "GuardSettings", "SafetySettings", "as_data", "redact", "refusal"]
