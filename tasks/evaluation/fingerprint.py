"""What decides what the evaluation asks and measures, and no value of a setting is."""

from typing import Any

from storage.files import sha256_of
from tasks.evaluation.items import BUNDLED
from tasks.evaluation.own_metrics import SETTING
from tasks.evaluation.settings import EvaluateSettings
from tasks.stages.own_code import own_sources
from tasks.studies.benchmarks.fingerprint import named_files


def asked_and_measured(settings: EvaluateSettings) -> dict[str, Any]:
    """The bundled items by name, the files of benchmarks, and the sources of the modules of the team's own metrics.

    Raises:
        MigakiError: a benchmark or its file is missing, or a module.
    """
    asked = {BUNDLED.name: sha256_of(BUNDLED)} | own_sources(settings.metrics, SETTING)
    if settings.benchmarks:
        asked["benchmarks"] = named_files(settings.benchmarks, settings.benchmarks_dir)
    return asked
