"""What a stage works on: what its run has made, or, where somebody runs it by itself, the newest there is."""

from collections.abc import Mapping

from flows.catalogue.stages import STAGES
from storage.artifacts import ArtifactRef, ArtifactStore, Manifest, reference
from storage.home import Home
from tasks.errors import MigakiError
from tasks.settings import StageSettings
from tasks.stages.spec import FlowSpec, StageSpec


def roles_of(spec: FlowSpec) -> dict[str, tuple[str, ...]]:
    """Stages in the order of preference, by the role that what they make has here."""
    return spec.inputs if isinstance(spec, StageSpec) else dict(spec.needs)


def inputs_from(spec: FlowSpec, made: Mapping[str, ArtifactRef]) -> dict[str, ArtifactRef]:
    """The inputs of a stage by role, of artifacts by stage."""
    chosen = {role: next((made[stage] for stage in stages if stage in made), None) for role, stages in roles_of(spec).items()}
    return {role: ref for role, ref in chosen.items() if ref is not None}


def newest_inputs(home: Home, spec: FlowSpec, settings: StageSettings | None = None) -> dict[str, ArtifactRef]:
    """Inputs for what somebody runs by itself: the newest artifacts of the roles it needs, and of the rest what those were made from.

    Args:
        settings: with which it runs; what it is spared by them may be missing.

    Raises:
        MigakiError: one is missing; names the command that makes it.
    """
    manifests = list(ArtifactStore(home).manifests())
    by_id = {manifest["id"]: manifest for manifest in manifests}
    newest = {manifest["stage"]: manifest for manifest in manifests}  # oldest first: the last of a stage stays
    made: dict[str, ArtifactRef] = {}
    for role, stages in spec.needs.items():
        if not any(stage in made for stage in stages):
            first = next((newest[stage] for stage in stages if stage in newest), None)
            if first is None and role in spec.spared and getattr(settings, spec.spared[role], None):
                continue
            if first is None:
                command = STAGES[stages[0]].command
                raise MigakiError(f"{spec.name} needs what {stages[0]} makes, and there is nothing yet: run `migaki {command}` first")
            _add_with_ancestors(first, by_id, made)
    return inputs_from(spec, made)


def _add_with_ancestors(manifest: Manifest, by_id: Mapping[str, Manifest], made: dict[str, ArtifactRef]) -> None:
    """Note an artifact and all that it was made from, by stage; what is known of a stage already stays."""
    if manifest["stage"] in made:
        return
    made[manifest["stage"]] = reference(manifest)
    for role, parent in manifest["inputs"].items():
        if parent in by_id and role != "champion":  # another run's release beside this one's
            _add_with_ancestors(by_id[parent], by_id, made)
