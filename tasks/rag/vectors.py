"""The vectors of an index from its chunks: what is embedded, by which embedder, and what is made of it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tasks.rag.embedders import known
from tasks.rag.embedding import Embedder
from tasks.rag.index_files import EmbedderIdentity, Vectors
from tasks.rag.sentence_vectors import chunk_vectors, sentence_texts, unit

Rows = list[dict[str, Any]]
Embed = Callable[[Embedder, list[str]], np.ndarray]


def identity(embedder: Embedder) -> EmbedderIdentity:
    """What an index keeps of an embedder."""
    return EmbedderIdentity(embedder.checksum, embedder.reference, embedder.fingerprint, embedder.backend, embedder.prompts)


def in_words(embedder: Embedder, companions: Mapping[str, Embedder]) -> str:
    """Which embedders an index has, what they read, and what runs them, as people are told."""
    told = [f"{_in_words(embedder)} reads all texts"]
    return "; ".join(told + [f"{_in_words(own)} reads those in {lang}, too" for lang, own in companions.items()])


def _in_words(embedder: Embedder) -> str:
    found = known(embedder.reference)
    languages = f", for {found.reads}" if found and found.reads else ""
    prefix = f" behind {embedder.prompts.passage.strip()!r}" if embedder.prompts.passage else ""
    return f"{embedder.reference} ({embedder.dimension} dimensions, {embedder.backend}, up to {embedder.room} tokens{prefix}{languages})"


def distinct_texts(chunks: Rows, companions: Mapping[str, Embedder]) -> int:
    """How many texts `vectors_of` has embedded, of any number of equal ones one."""
    sentences, headings = _texts(chunks)
    return len({*sentences, *headings}) + sum(len(set(_of_language(chunks, lang))) for lang in companions)


def vectors_of(chunks: Rows, embedder: Embedder, companions: Mapping[str, Embedder], embed: Embed) -> Vectors:
    """The vectors of chunks (rows with `heading`, `text`, `indexed`, `lang` and `places`): of their sentences and headings by the index's own embedder,
    and of the whole chunks of a language by its companion.

    Args:
        embed: gives (texts, dimension) int8 codes of passages by an embedder.
    """
    sentences, headings = _texts(chunks)
    codes = embed(embedder, [*sentences, *headings])
    second = {lang: (identity(own), unit(embed(own, texts))) for lang, own in companions.items() if (texts := _of_language(chunks, lang))}
    of_sentences, of_headings = codes[: len(sentences)], codes[len(sentences) :].copy()
    if "" in headings:
        of_headings[headings[""]] = 0
    lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
    counts = np.array([len(chunk["places"]) // 2 for chunk in chunks], np.int64)
    of_chunks = chunk_vectors(of_sentences, lengths, counts, of_headings[[headings[chunk["heading"]] for chunk in chunks]])
    return Vectors(of_chunks, of_sentences, second)


def _texts(chunks: Rows) -> tuple[list[str], dict[str, int]]:
    """(all sentences, chunk by chunk; number of each distinct heading)."""
    sentences = [text for chunk in chunks for text in sentence_texts(chunk["text"], chunk["places"])]
    return sentences, {heading: number for number, heading in enumerate(dict.fromkeys(chunk["heading"] for chunk in chunks))}


def _of_language(chunks: Rows, lang: str) -> list[str]:
    return [chunk["indexed"] for chunk in chunks if chunk["lang"] == lang]
