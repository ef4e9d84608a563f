"""What the files hold that the study's settings name: enters its keys in place of their paths."""

from dataclasses import asdict
from typing import Any

from storage.artifacts import content_key
from tasks.prompts.library.library import open_library
from tasks.studies.prompting.questions import open_suite
from tasks.studies.prompting.settings import OwnPromptsSettings, SolvingSettings


def questions_and_prompts(settings: SolvingSettings) -> dict[str, Any]:
    """The suite's name and questions, and the versions of the prompts by which they may be put."""
    suite = open_suite(settings)
    content = [asdict(question) for question in (*suite.questions, *suite.examples)]
    return {"suite": suite.name, "questions": content_key({"questions": content}), "prompts": _versions(settings.prompts, "solve_")}


def templates(settings: OwnPromptsSettings) -> dict[str, Any]:
    return {"prompts": _versions(settings.prompts, tuple(settings.templates))}


def _versions(folder: str, names: str | tuple[str, ...]) -> dict[str, str]:
    return {f"{name}.{lang}": version for (name, lang), version in sorted(open_library(folder).versions.items()) if name.startswith(names)}
