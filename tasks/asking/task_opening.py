"""The chatbot of a release, opened inside a stage as it serves."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch

from storage.kinds import Model, Release
from tasks.asking.asking import AT_ONCE
from tasks.chatbot.engine import ChatEngine
from tasks.chatbot.release import Sections, engine_of
from tasks.chatbot.safety.guard import Guard
from tasks.chatbot.safety.opening import guard_of
from tasks.inference.backend import Backend
from tasks.inference.server import OpenAIServer
from tasks.models.reference import resolve
from tasks.models.word_table import stored_dtype
from tasks.rag.retrieval import Retriever
from tasks.stages.serving import serving_model
from tasks.stages.work import Work


@contextmanager
def opened_engine(release: Release, retriever: Retriever, work: Work, release_id: str = "", base: bool = False) -> Iterator[ChatEngine]:
    """The engine of a release; its model is in memory only meanwhile.

    Args:
        base: whether the run's base model answers, with the release's settings.

    Raises:
        MigakiError, StorageError: a part of it is gone or cannot be opened, or the server does not answer.
    """
    sections = Sections.of({}, release)
    chat = sections.chat
    # What somebody alone is given; here as many answer together.
    sections = replace(sections, chat=chat.model_copy(update={"seconds": chat.seconds * AT_ONCE}))
    backend = _backend(release, sections.chat.dtype, work, base)
    try:
        yield engine_of(release, sections, backend, retriever, _guard(release, sections, retriever, work), release_id)
    finally:
        backend.close()
        gc.collect()


def open_documents(retriever: Retriever) -> dict[str, str]:
    """By name, the language of each document that everybody may see: answers are kept where others read them."""
    columns = [retriever.chunks[name].to_pylist() for name in ("document", "lang", "allowed")]
    return {name: lang for name, lang, allowed in zip(*columns, strict=True) if not allowed}


def _backend(release: Release, dtype: str, work: Work, base: bool) -> Backend:
    if release.server:
        return OpenAIServer.connect(release.server, release.server_model, os.environ.get("MIGAKI_SERVER_KEY"))
    if base:
        precision = "fp16" if stored_dtype(work.model.path) == torch.float16 else "fp32"
        return serving_model(work.home, work.model.checksum, work.model.path, precision, dtype, work.device)
    ref = work.artifact(release.model)
    record = work.record(ref, Model)
    return serving_model(work.home, ref.id, work.open(ref) / record.model, record.precision, dtype, work.device)


def _guard(release: Release, sections: Sections, retriever: Retriever, work: Work) -> Guard | None:
    if not sections.chat.safety:
        return None
    if not release.classifier:
        return Guard(sections.safety)
    folder, find = work.open(work.artifact(release.classifier)), partial(resolve, home=work.home)
    return guard_of(sections.safety, release.classifier, folder, find, work.home.exports, retriever.meaning.embedders)
