"""What the code and the models hold that align's settings name: another rule or reward model makes another artifact."""

from typing import Any

from storage.home import Home
from tasks.models.reference import resolve
from tasks.rlhf.rules import SETTING
from tasks.rlhf.settings import AnswerSettings
from tasks.stages.own_code import own_sources


def named_rewards(settings: AnswerSettings) -> dict[str, Any]:
    """The sources of the rule rewards' modules, and the checksum of the separate reward model."""
    separate = {"reward_model": resolve(settings.reward_model, Home.current()).checksum} if settings.reward_model else {}
    return own_sources(settings.rule_rewards, SETTING) | separate
