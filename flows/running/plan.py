"""What a retraining run would do, and why, without running anything; and why a stage that runs does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from flows.catalogue.stages import STAGES
from flows.running.feedback import with_feedback
from flows.running.gate import with_champion
from flows.running.inputs import inputs_from
from flows.running.parameters import RunParams, left_out, require_benchmarks, require_merging
from flows.running.releases import measured, release_of
from storage.artifacts import ArtifactRef, ArtifactStore, Manifest, content_key
from storage.home import Home
from storage.kinds import Dataset
from tasks.chatbot.release import Sections
from tasks.chatbot.safety.settings import SafetySettings
from tasks.data.settings import PrepareSettings
from tasks.evaluation.settings import EvaluateSettings, PromoteSettings
from tasks.models.reference import ResolvedModel, resolve, resolved
from tasks.quantization.settings import QuantizeSettings
from tasks.rlhf.settings import AlignSettings
from tasks.settings import StageSettings
from tasks.stages.keys import Ingredients
from tasks.stages.spec import StageSpec
from tasks.training.settings import TuneSettings


@dataclass(frozen=True)
class PlanLine:
    """A stage, whether it would run, and the first thing that differs from its newest artifact."""

    stage: str
    would: Literal["run", "reuse"]
    because: str


def plan(home: Home, params: RunParams) -> list[PlanLine]:
    """A line for each stage of `retrain`, in its order.

    Raises:
        MigakiError, StorageError: what would stop the run before it began: a file is missing, or a model's files are damaged; or once it has
            its dataset, as far as that is known.
    """
    store, settings = ArtifactStore(home), dict(params.stages)
    prepare = with_feedback(cast(PrepareSettings, settings["prepare"]))
    align = cast(AlignSettings, settings["align"])
    safety = cast(SafetySettings, settings["safety"])
    require_merging(params.run, cast(TuneSettings, settings["tune"]), align, cast(QuantizeSettings, settings["quantize"]))
    require_benchmarks(cast(EvaluateSettings, settings["evaluate"]), cast(PromoteSettings, settings["promote"]))
    settings["prepare"], without = prepare, left_out(params.run, prepare, align, safety)
    newest = {manifest["stage"]: manifest for manifest in store.manifests()}
    made: dict[str, ArtifactRef] = {}  # of the stages that would be reused
    anew: set[str] = set()
    lines = []
    for spec in STAGES.values():
        if spec.in_retrain and spec.name not in without:
            line, ref = _planned(home, spec, settings[spec.command], params, made, anew, newest.get(spec.name))
            if ref is None:
                anew.add(spec.name)
            else:
                made[spec.name] = ref
            if spec.name == "prepare" and ref is not None:  # what it has decides whether there is anything to train reward models on
                without = left_out(params.run, prepare, align, safety, Dataset.of(ref.meta, ref.id))
            lines.append(line)
    return lines


def _planned(
    home: Home,
    spec: StageSpec,
    settings: StageSettings,
    params: RunParams,
    made: dict[str, ArtifactRef],
    anew: set[str],
    newest: Manifest | None,
) -> tuple[PlanLine, ArtifactRef | None]:
    """The stage's line, and its artifact where it would be reused."""
    final = "champion" in spec.inputs  # it takes the release that is decided on, how each language is answered included
    for role, stages in [*spec.inputs.items(), *([("release", ("answering",))] if final else [])]:
        first = next((stage for stage in stages if stage in made or stage in anew), None)
        if first in anew:
            return PlanLine(spec.name, "run", f"its input {role!r} would be new: {first} would run"), None
    models: dict[str, ResolvedModel] = {}
    for role in spec.models:
        named = params.run.model_in(role)
        if not named:
            continue
        if not resolved(named, home):
            return PlanLine(spec.name, "run", f"its {role} {named} is not here yet: the run fetches it"), None
        models[role] = resolve(named, home)
    inputs = inputs_from(spec, made)
    if final:
        inputs |= with_champion(home, _release(home, params, made))
    elif "release" in spec.inputs:
        inputs["release"] = _release(home, params, made)
    made_of = Ingredients.of(spec, spec.counting(settings), inputs, models)
    store = ArtifactStore(home)
    if store.is_whole(spec.kind, made_of.key):
        ref = store.get(made_of.key)
        return PlanLine(spec.name, "reuse", nothing_differs(ref)), ref
    return PlanLine(spec.name, "run", reason(spec, made_of, newest, {role: params.run.model_in(role) for role in spec.models})), None


def _release(home: Home, params: RunParams, made: Mapping[str, ArtifactRef]) -> ArtifactRef:
    """The release that the run would make of what its stages made, which may not be kept yet; before `answering`, the one that is measured."""
    classifier = made["safety"].id if "safety" in made else ""
    said = params.flow_parameters()
    sections = Sections.given(*(cast(Any, said[name]) for name in ("chat", "tools", "safety")))
    release = release_of(home, sections, made["quantize"], classifier)
    meta = (measured(release, made["answering"], sections.chat) if "answering" in made else release).meta()
    return ArtifactRef(id=content_key(meta), kind="release", uri="", meta=meta)


def nothing_differs(ref: ArtifactRef) -> str:
    """Why a stage makes nothing: the artifact that is there has its key."""
    return f"nothing differs from {ref.id[:12]}"


def reason(spec: StageSpec, made_of: Ingredients, newest: Manifest | None, references: Mapping[str, str], names: bool = True) -> str:
    """Why a stage makes an artifact: what differs from its newest one.

    Args:
        newest: None before the first.
        references: of the models that take part, by role; "" for none.
        names: whether documents and other files may be named.
    """
    if newest is None:
        return "there is no artifact of it yet"
    if "made_of" not in newest:
        return f"{newest['id'][:12]} was made by an earlier Migaki, whose keys held less"
    before = newest["made_of"]
    for role, reference in references.items():
        if before["models"].get(role) != made_of.models.get(role) and newest.get(role, reference) != reference:
            return f"its {role} was {newest[role] or 'none'} and is {reference or 'none'}"
    difference = first_difference(spec.command, before, made_of, names)
    return difference or f"{newest['id'][:12]} is damaged: its checksums do not hold"


def first_difference(section: str, before: dict[str, Any], now: Ingredients, names: bool = True) -> str:
    """The first thing in which two artifacts' ingredients differ, in words; "" for none.

    Args:
        section: of the settings.
        before: what a manifest says under `made_of`.
        names: whether files may be named.
    """
    for name, value in now.settings.items():
        if name not in before["settings"]:
            return f"the setting {section}.{name} is new: {value!r}"
        if value != before["settings"][name]:
            return f"{section}.{name} was {before['settings'][name]!r} and is {value!r}"
    if gone := sorted(before["settings"].keys() - now.settings.keys()):
        return f"the setting {section}.{gone[0]} is gone"
    for role in dict.fromkeys([*now.inputs, *before["inputs"]]):
        old, new = before["inputs"].get(role), now.inputs.get(role)
        if old != new:
            return f"its input {role!r} was {_short(old)} and is {_short(new)}"
    if difference := _first_file(section, before["files"], now.files, names):
        return difference
    for role in dict.fromkeys([*now.models, *before["models"]]):
        old, new = before["models"].get(role), now.models.get(role)
        if old != new:
            return f"its {role} is another: checksum {_short(old)}, now {_short(new)}"
    for path in sorted(now.code.keys() | before["code"].keys()):
        old, new = before["code"].get(path), now.code.get(path)
        if old != new:
            return (
                f"the source file {path} {'is new to it' if old is None else 'is no longer part of it' if new is None else 'has changed'}"
            )
    for library in sorted(now.versions.keys() | before["versions"].keys()):
        if now.versions.get(library) != before["versions"].get(library):
            return f"{library} was {before['versions'].get(library)} and is {now.versions.get(library)}"
    return ""


def _first_file(section: str, before: Any, now: Any, names: bool) -> str:
    """The setting whose files differ, and where they stand by name and may be named, the file."""
    if before == now:
        return ""
    if isinstance(before, dict) and isinstance(now, dict):
        name = next(name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name))
        return f"the files of {section}.{name} have changed{_names(before.get(name), now.get(name)) if names else ''}"
    return f"the files that the settings of {section} name have changed{_names(before, now) if names else ''}"


def _names(before: Any, now: Any) -> str:
    """The files by name that differ in two fingerprints, the first three."""
    old, new = _digests(before), _digests(now)
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return f": {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else ""


def _digests(fingerprint: Any) -> dict[str, str]:
    """All (name, digest) pairs in a fingerprint, however deep."""
    if isinstance(fingerprint, dict):
        return {key: value for key, value in fingerprint.items() if isinstance(value, str)} | _digests(list(fingerprint.values()))
    if isinstance(fingerprint, list):
        return {name: digest for part in fingerprint for name, digest in _digests(part).items()}
    return {}


def _short(artifact_id: str | None) -> str:
    return artifact_id[:12] if artifact_id else "none"
