"""A home in which stage bodies run without Prefect, and one whose indexes serve."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from flows.catalogue.stages import STAGES
from storage.artifacts import ArtifactRef, ArtifactStore, canonical_json
from storage.files import sha256_of
from storage.home import Home
from storage.registry import register, set_champion_index
from tasks.data.settings import PrepareSettings
from tasks.models.reference import resolve
from tasks.rag.opening import open_index
from tasks.rag.settings import IndexSettings
from tasks.stages.spec import function
from tasks.stages.work import Context, Work
from tests.helpers.embedder import save_tiny_embedder

SETTINGS = {"chunk_tokens": 60, "overlap_sentences": 1}
TEXTS = {"cat.md": "A cat sleeps in the garden.", "neko.txt": "猫は庭で寝る。", "empty.md": ""}


class Project:
    """A home with a tiny embedder; stage bodies run in it without Prefect. `companion` is the second embedder of its runs, None for none."""

    def __init__(self, root: Path):
        self.home, self.log, self.count = Home(root / "home"), [], 0
        self.home.root.mkdir()
        self.context = Context(
            self.home, "", str(save_tiny_embedder(root / "embedder")), emit=lambda text, final: None, log=self.log.append
        )
        self.embedder, self.companion = resolve(self.context.embedder, self.home), None

    def run(self, name: str, settings, **inputs: ArtifactRef) -> ArtifactRef:
        self.count += 1
        store = ArtifactStore(self.home)
        with store.draft(STAGES[name].kind, f"{self.count:064}") as folder:
            second = {"embedder_en": self.companion} if self.companion else {}
            work = Work(STAGES[name], folder, self.context, {"embedder": self.embedder, **second})
            record = function(STAGES[name].body)(settings, inputs, work)
            work.write_tables()
            return store.commit(folder, self.manifest(name, settings, inputs) | {"meta": record.meta()})

    def manifest(self, name: str, settings, inputs: dict[str, ArtifactRef]) -> dict:
        return {"inputs": {}}

    def dataset(self, documents: list[str], questions: list[str] = ()) -> ArtifactRef:
        return self.run(
            "prepare",
            PrepareSettings(instructions=[], preferences=[], documents=documents, questions=list(questions), followups=[], text=[]),
        )

    def table(self, ref: ArtifactRef, name: str) -> list[dict]:
        return pq.read_table(ArtifactStore(self.home).path(ref) / f"tables/{name}.parquet").to_pylist()

    def open(self, ref: ArtifactRef):
        return open_index(ArtifactStore(self.home).path(ref), self.embedder, {"en": self.companion} if self.companion else {})


class ServedProject(Project):
    """A project whose indexes are registered and serve."""

    def __init__(self, root):
        super().__init__(root)
        self.docs = root / "docs"
        self.docs.mkdir()
        for name, text in TEXTS.items():
            (self.docs / name).write_text(text, encoding="utf-8")
        self.nothing = self.dataset([])

    def manifest(self, name, settings, inputs) -> dict:
        about = {
            "stage": name,
            "run_id": "r",
            "settings": settings.model_dump(mode="json"),
            "inputs": {r: ref.id for r, ref in inputs.items()},
        }
        return about | {"seconds": 0.0, "created": "2026-01-01T00:00:00", "model": None, "embedder": self.context.embedder}

    def index(self) -> ArtifactRef:
        made = self.run("index", IndexSettings(documents=[str(self.docs)], **SETTINGS), dataset=self.nothing)
        register(self.home, made)
        return made

    def serve(self) -> ArtifactRef:
        made = self.index()
        set_champion_index(self.home, made.id)
        return made


def seal(folder: Path) -> None:
    """Write an artifact's manifest so that it agrees with its files as they are now: what is wrong, checksums cannot tell."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    there = [name for name in manifest["files"] if (folder / name).exists()]
    manifest["files"] = {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)} for name in there}
    (folder / "manifest.json").write_text(canonical_json(manifest), encoding="utf-8")
