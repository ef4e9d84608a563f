"""Opens the models that stages compute with, each held once against its own forward.

A verdict is kept in the home, by all that it depends on: the model's files, the code that computes, the libraries, the precision and the
machine's way of computing. It is no input of any stage: a model that does not pass is refused, and one that does is as it was.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.artifacts import ArtifactRef, ArtifactStore, content_key, read_manifest
from storage.files import replacing
from storage.home import PRIVATE, Home, StorageError
from storage.kinds import Model
from tasks.models.linear import FASTER
from tasks.models.opening import ChatChoice, open_model
from tasks.stages.keys import sources, versions
from tasks.stages.spec import function
from tasks.stages.work import Work

if TYPE_CHECKING:  # what checks a model computes nothing of any stage, so it is in no key
    from tasks.inference.agreement import Verdict

CHECKS = "tasks.inference.agreement"


def open_checked(
    work: Work, ref: ArtifactRef | None, trunk: str = "float32", chat: ChatChoice | None = None, today: str = "", beside: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """What `open_model` gives of an `adapter` or `model` artifact (None: the base model), checked.

    Raises:
        MigakiError: it cannot be opened, or Migaki's path through it does not give what its own forward gives (`tasks.inference.agreement`).
    """
    trained = work.trained(ref)
    model, tokenizer = open_model(work.model.path, trained, work.adapter, work.device, trunk, chat, today, beside)
    record = trained[1] if trained else None
    quantized = isinstance(record, Model) and record.precision in ("int8", "nf4")
    original = _original(work.home, ref) if quantized and ref else ref  # the base is a yardstick where that is gone

    def exact() -> PreTrainedModel:
        return open_model(work.model.path, work.trained(original), work.adapter, beside=beside)[0]

    precision = record.precision if quantized and isinstance(record, Model) else trunk
    check_opened(work, model, tokenizer, precision, exact)
    return model, tokenizer


def check_opened(
    work: Work, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, precision: str, exact: Callable[[], PreTrainedModel]
) -> None:
    """Check a model of the run's base that is open in this precision. `exact` opens it, or what it was made of, in float32.

    Raises:
        MigakiError: Migaki's path through it does not give what its own forward gives.
    """

    def check() -> "Verdict":
        verdict: Verdict = function(f"{CHECKS}:examined")(
            model, function(f"{CHECKS}:probe_ids")(model, tokenizer), precision, exact, work.log
        )
        return verdict

    once(work.home, work.model.checksum, precision, model.device, check)


def _original(home: Home, release: ArtifactRef) -> ArtifactRef | None:
    """What a quantized model was made of; None where that is gone."""
    store = ArtifactStore(home)
    try:
        return store.get((read_manifest(store.path(release)) or {})["inputs"]["aligned"])
    except (KeyError, StorageError):
        return None


def once(home: Home, checksum: str, precision: str, device: torch.device, check: Callable[[], "Verdict"]) -> bool:
    """Whether `check` was called: it is not where its verdict on the same model, code, precision and device is kept.

    Raises:
        MigakiError: of `check`; such a verdict is not kept.
    """
    file = home.checks / f"{content_key(_depends_on(checksum, precision, device))}.json"
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["distances"] and all(distance <= kept["limit"] for distance in kept["distances"].values()):
            return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # not there, or damaged: checked anew
    verdict = check()
    home.checks.mkdir(mode=PRIVATE, exist_ok=True)
    with replacing(file) as draft, os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as out:
        json.dump(asdict(verdict), out)
    return True


def _depends_on(checksum: str, precision: str, device: torch.device) -> dict[str, Any]:
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    else:
        machine = f"{torch.backends.cpu.get_cpu_capability()}{' oneDNN' * FASTER}"
    return {
        "model": checksum,
        "code": sources(CHECKS) | sources(__name__),
        "versions": versions(CHECKS),
        "precision": precision,
        "device": [device.type, machine],
    }
