"""Settings of the stage index."""

from typing import ClassVar, Literal

from pydantic import Field

from tasks.rag.embedders import shares_of
from tasks.settings import StageSettings
from tasks.text.language import languages


class IndexSettings(StageSettings):
    """How documents are cut, embedded and searched."""

    PATHS: ClassVar[set[str]] = {"documents", "roots"}

    documents: list[str] = Field(
        [],
        description="Files, folders and globs of txt, md, html, pdf, docx, csv and jsonl (FILE.csv#text=COLUMN,title=COLUMN), "
        "or a table of the catalog (table:NAME#text=COLUMN), as they are now; empty takes the documents of the newest dataset",
    )
    roots: list[str] = Field(
        [],
        description="Folders that documents may lie in, as they are or behind links; empty is all that are allowed: on a platform those that its "
        "workers allow (MIGAKI_ROOTS in their environment, else the project's folder), at a terminal any",
    )
    follow_links: bool = Field(
        False, description="Read what links inside a folder of documents point at outside of it; then the labels of both sides hold"
    )
    encoding: str = Field("", description="Encoding of text files, such as cp932; empty tells it from each file's bytes")
    file_seconds: float = Field(60, gt=0, description="Longest time for reading one file; what takes longer is skipped with that reason")
    max_unpacked_mb: int = Field(200, ge=1, le=100_000, description="Megabytes (10^6 bytes) that one docx may become when it is unpacked")
    readers: int = Field(1, ge=1, le=64, description="Processes that read files at the same time")
    chunk_tokens: int = Field(256, ge=16, le=512, description="Longest chunk in tokens of the embedder, at most what it reads")
    overlap_sentences: int = Field(1, ge=0, le=5, description="Sentences that a chunk repeats from the one before it")
    embedder_backend: Literal["auto", "torch", "torch-bf16", "onnx-int8"] = Field(
        "auto",
        description="What runs the embedder: torch-bf16 is faster where the processor multiplies bfloat16, and auto takes it there, else torch; "
        "onnx-int8 is faster on any CPU and a little less exact",
    )
    query_prefix: str | None = Field(None, description="What the embedder reads before every question; nothing said takes the model's own")
    passage_prefix: str | None = Field(None, description="What the embedder reads before every chunk; nothing said takes the model's own")
    flat_up_to: int = Field(
        50_000,
        ge=1,
        description="Chunks up to which dense search looks at all vectors; beyond, at the nearest inverted lists (index.dense_recall)",
    )
    batch_tokens: int = Field(4096, ge=256, description="Tokens embedded at once")
    k1: float = Field(0.5, ge=0, description="BM25: how soon repeated terms stop counting")
    b: float = Field(0.3, ge=0, le=1, description="BM25: how much long chunks are held back")
    sentence_weight: float = Field(0.35, ge=0, le=1, description="Share of a chunk's best sentence in its BM25 score")
    document_weight: float = Field(0.3, ge=0, le=1, description="Share of a chunk's whole document in its BM25 score")
    dense_weight_en: float | None = Field(
        None, ge=0, le=1, description="Share of dense search in the score of English questions; nothing said takes what suits the embedder"
    )
    dense_weight_ja: float | None = Field(
        None, ge=0, le=1, description="Share of dense search in the score of Japanese questions; nothing said takes what suits the embedder"
    )

    def dense_weights(self, embedder: str) -> dict[str, float]:
        """Share of dense search in the score of a question, by its language: what is set, else what suits the embedder of that reference, else what
        the language says."""
        found = {code: language.DENSE_WEIGHT for code, language in languages().items()} | dict(shares_of(embedder))
        said = {code: getattr(self, f"dense_weight_{code}", None) for code in found}
        return found | {code: share for code, share in said.items() if share is not None}
