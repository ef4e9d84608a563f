"""The stage benchmark: the base model, and a model trained on it, on the same questions."""

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.artifacts import ArtifactRef
from storage.kinds import Release, Studied
from tasks.errors import MigakiError
from tasks.models.catalogue import published_beside
from tasks.stages.opening import open_checked
from tasks.stages.work import Work
from tasks.studies.benchmarks.benchmark import Benchmarks, Opens, Way
from tasks.studies.benchmarks.prompting import Drawn, draw
from tasks.studies.benchmarks.settings import BenchmarkSettings
from tasks.studies.suites.reading import CODE, KINDS, read_file, read_suite
from tasks.studies.task_run import studied


def benchmark(settings: BenchmarkSettings, inputs: dict[str, ArtifactRef], work: Work) -> Studied:
    """Ask every model every question, and set the figures beside published ones.

    Raises:
        MigakiError: no benchmark is named, one is missing or broken, or a choice is longer than the model's context.
    """
    drawn = suites_drawn(settings)
    models: dict[str, Opens] = {work.model.reference: lambda: open_checked(work, None)}
    if "trained" in inputs:
        models[inputs["trained"].id[:12]] = lambda: _open_trained(inputs["trained"], work)
    study = Benchmarks(drawn, models, Way(settings.score, answer_tokens=settings.answer_tokens))
    return studied(study, work, notes=_notes(drawn, settings))


def suites_drawn(settings: BenchmarkSettings) -> list[Drawn]:
    """The questions that are asked, of every benchmark."""
    suites = [read_suite(name, Path(settings.benchmarks_dir)) for name in dict.fromkeys(settings.names)]
    suites += [read_file(Path(path)) for path in settings.suites]
    if not suites:
        raise MigakiError(f"no benchmark is named: migaki benchmark NAME... --benchmarks-dir DIR, with {', '.join(KINDS)}, or --suite FILE")
    if len({suite.name for suite in suites}) < len(suites):
        raise MigakiError(
            f"two benchmarks have one name: {', '.join(suite.name for suite in suites)}; a file is called by its name without the split"
        )
    drawn = [draw(suite, settings.shots, settings.items, settings.seed) for suite in suites]
    if empty := [one.suite.name for one in drawn if not one.questions]:
        raise MigakiError(f"benchmark {empty[0]}: no question is left beside {settings.shots} worked examples (benchmark.shots)")
    return drawn


def _open_trained(ref: ArtifactRef, work: Work) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model that an artifact is, or that a release names.

    Raises:
        MigakiError: the release has no model here, or the artifact is none.
    """
    if ref.kind == "release":
        release = work.record(ref, Release)
        if not release.model:
            raise MigakiError(
                f"the release {ref.id[:12]} is answered by the server {release.server}: it has no model here to score choices with"
            )
        ref = work.artifact(release.model)
    if ref.kind not in ("adapter", "model"):
        raise MigakiError(f"the artifact {ref.id[:12]} is of kind {ref.kind!r}; a benchmark measures an adapter, a model or a release")
    return open_checked(work, ref, beside=True)


def _notes(drawn: list[Drawn], settings: BenchmarkSettings) -> list[str]:
    notes = [f"{one.suite.name}: {one.suite.note}" for one in drawn if one.suite.note]
    for one in drawn:
        choices = [len(question.choices) for question in one.questions if question.choices]
        if choices:
            notes.append(f"{one.suite.name}: guessing is right for {sum(1 / n for n in choices) / len(choices):.1%}")
        if told := published_beside(one.suite.name):
            notes.append(f"{one.suite.name}, published: {told}; by other prompts, so beside these and not comparable to the digit")
    notes.append(
        f"{settings.shots} worked examples before each question; a choice is taken by its log-likelihood ({settings.score}), a written answer by the rules of "
        "docs/benchmarks.md. Questions are put as text that goes on, without a chat template"
    )
    notes.append(f"Not run: {', '.join(CODE)}. They execute code that a model wrote, which takes a sandbox")
    return notes
