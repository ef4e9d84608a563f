"""The study prompt_study on published questions: a model asked in each way."""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime

import torch

from storage.artifacts import ArtifactRef
from storage.kinds import Studied
from tasks.inference.local import LocalModel
from tasks.models.word_table import stored_dtype
from tasks.prompts.library.library import open_library
from tasks.prompts.library.prompt import Prompt
from tasks.prompts.library.released import named
from tasks.stages.serving import serving_model
from tasks.stages.work import Work
from tasks.studies.prompting.methods import read_methods
from tasks.studies.prompting.questions import draw, open_suite
from tasks.studies.prompting.settings import SolvingSettings
from tasks.studies.prompting.solving import Solving, notes_on
from tasks.studies.task_run import studied


def prompt_study(settings: SolvingSettings, inputs: dict[str, ArtifactRef], work: Work) -> Studied:
    """Ask the base model of the run.

    Raises:
        MigakiError: the suite or the methods are not as they must be, or a prompt does not fit the model.
    """
    methods, suite = read_methods(settings.methods), open_suite(settings)
    drawn = draw(suite, methods, settings.items, settings.seed)

    @contextmanager
    def opened() -> Iterator[LocalModel]:
        precision = "fp16" if stored_dtype(work.model.path) == torch.float16 else "fp32"
        backend = serving_model(work.home, work.model.checksum, work.model.path, precision, "auto", work.device)
        try:
            yield backend
        finally:
            backend.close()
            gc.collect()

    study = Solving(drawn, methods, open_library(settings.prompts), opened, settings)
    record_prompts((study.prompt(method, question) for method in methods for question in drawn.asked), work)
    return studied(study, work, notes=notes_on(suite.name, suite.note))


def record_prompts(prompts: Iterable[Prompt], work: Work) -> None:
    """Enter each version once into the catalog's table `prompts`."""
    used = {(one.name, one.lang, one.version): one for one in map(named, prompts)}
    created = datetime.now(UTC).replace(tzinfo=None)
    work.table("prompts", [asdict(one) | {"created": created} for one in used.values()])
