"""An index with the embedders that it was made with."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from storage.kinds import Calibration as Record
from tasks.errors import MigakiError
from tasks.rag.confidence import BUNDLED, FEATURES, Calibration
from tasks.rag.embedding import Embedder
from tasks.rag.index_files import read_facts
from tasks.rag.retrieval import Retriever


class Named(Protocol):
    """A model on this machine's disk."""

    @property
    def path(self) -> Path: ...

    @property
    def checksum(self) -> str: ...


def open_index(
    folder: Path,
    embedder: Named,
    companions: Mapping[str, Named] = MappingProxyType({}),
    device: str = "cpu",
    loaded: Collection[Embedder] = (),
    exports: Path | None = None,
    calibration: Record | None = None,
) -> Retriever:
    """The index in a folder.

    Args:
        embedder: the model that it was made with.
        companions: by language, models that it may have been made with beside; those that it was not are left alone.
        loaded: embedders that are there already, taken where they are the ones.
        exports: folder that keeps embedders quantized to int8 (default: beside the model).
        calibration: made for this index; the bundled one where there is none.

    Raises:
        MigakiError: it was made with other embedders, or otherwise used, than those at hand, or by another version of Migaki; the calibration is of
            another index, or has other signs than this version.
    """
    facts = read_facts(folder)
    own = _embedder(facts, embedder, "run.embedder", device, loaded, exports)
    second = {
        lang: _embedder(made, companions.get(lang), f"run.embedder_{lang}", device, loaded, exports)
        for lang, made in facts.get("companions", {}).items()
    }
    retriever = Retriever(folder, own, second)
    retriever.calibrations = calibrations_of(calibration, folder.name)
    return retriever


def calibrations_of(record: Record | None, index: str) -> Mapping[str, Calibration]:
    """By language; the bundled ones where a calibration says nothing of a language.

    Raises:
        MigakiError: it was made for another index, or its signs are others than this version's.
    """
    if record is None:
        return BUNDLED
    again = "`migaki calibrate` makes one"
    if record.index != index:
        raise MigakiError(f"the calibration was made for the index {record.index[:12]}, not for {index[:12]}: {again}")
    for lang, own in record.languages.items():
        if own.weights.keys() != set(FEATURES):
            raise MigakiError(
                f"the calibration of the index {index[:12]} has other signs in {lang} than this version ({', '.join(FEATURES)}): {again}"
            )
    own_ones = {
        lang: Calibration(own.bias, tuple(own.weights[name] for name in FEATURES), own.least, own.sure)
        for lang, own in record.languages.items()
    }
    return {**BUNDLED, **own_ones}


def _embedder(
    made: Mapping[str, Any], model: Named | None, setting: str, device: str, loaded: Collection[Embedder], exports: Path | None
) -> Embedder:
    """The embedder that made an index's vectors. Raises what `open_index` raises."""
    if model is None or made["embedder"] != model.checksum:
        raise MigakiError(
            f"this index was built with {made['embedder_reference']!r}, another embedder than the one set ({setting}): "
            f"build it anew with `migaki index`, or set {setting} back"
        )
    for embedder in loaded:
        if embedder.fingerprint == made["fingerprint"]:
            return embedder
    embedder = _opened(made, model, made.get("prompts") or {}, device, exports)
    if made["fingerprint"] != embedder.fingerprint and "prompts" not in made:
        # Earlier versions did not know the prefixes of some models, and embedded without.
        embedder = _opened(made, model, {"query": "", "passage": ""}, device, exports)
    if made["fingerprint"] != embedder.fingerprint:
        raise MigakiError(
            f"this index was built with the embedder {made['fingerprint']!r}, and the one at hand is {embedder.fingerprint!r}: "
            "build it anew with `migaki index`, or take the embedder as it was"
        )
    return embedder


def _opened(made: Mapping[str, Any], model: Named, prompts: Mapping[str, str], device: str, exports: Path | None) -> Embedder:
    """With those prefixes, or with the model's own where none are said."""
    return Embedder(
        model.path,
        device,
        made["embedder_backend"],
        model.checksum,
        exports,
        reference=made["embedder_reference"],
        query_prefix=prompts.get("query"),
        passage_prefix=prompts.get("passage"),
    )
