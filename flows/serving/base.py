"""The base model as it is, for a home in which nothing was promoted yet: documents can be asked about before the first retraining run."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime

from flows.running.releases import BASE
from storage.artifacts import ArtifactRef, ArtifactStore, content_key
from storage.home import Home
from storage.kinds import Model
from storage.registry import register
from tasks.models.reference import resolve


def base_model(home: Home, reference: str, log: Callable[[str], None] = print) -> ArtifactRef:
    """A base model as a `model` artifact, made once; its files are those of the home where the disk allows it.

    Raises:
        MigakiError, StorageError: the reference is malformed, what it names cannot be had, or the disk is full.
    """
    import torch

    from tasks.models.word_table import stored_dtype

    base, store = resolve(reference, home, log), ArtifactStore(home)
    key = content_key({"base": base.checksum})
    if (ref := store.find("model", key)) is None:
        record = Model(precision="fp16" if stored_dtype(base.path) == torch.float16 else "fp32")
        with store.draft("model", key) as folder:
            shutil.copytree(base.path, folder / record.model, copy_function=_link)
            facts = {"stage": BASE, "run_id": None, "settings": {}, "inputs": {}, "model": reference, "meta": record.meta()}
            ref = store.commit(folder, facts | {"seconds": 0.0, "created": datetime.now(UTC).replace(tzinfo=None).isoformat()})
    register(home, ref)
    return ref


def _link(source: str, target: str) -> None:
    """The same file at another place, or a copy where that is on another disk."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
