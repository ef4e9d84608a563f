"""A home in which the stages of training run without Prefect, with a tiny model and a small dataset."""

from pathlib import Path

import pyarrow.parquet as pq
import torch

from flows.catalogue.stages import STAGES
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.home import Home
from tasks.data.records import Instruction, Text, save
from tasks.models.opening import open_model
from tasks.models.reference import resolve
from tasks.stages.spec import function
from tasks.stages.work import Context, Work
from tasks.training.settings import TuneSettings
from tests.helpers.models import save_tiny

QUESTIONS = ["What is a token?", "Why mask the prompt?", "What does a rank do?", "Name a scale.", "Who pads?", "When to stop?"]
TUNE = TuneSettings(top_fraction=0.5, lora_r=8, epochs=6, learning_rate=2e-2, batch_size=4, max_tokens=120)
IDS = torch.arange(2 * 9).reshape(2, 9)


def instruction(question: str, answer: str, lang: str) -> Instruction:
    return Instruction(f"{question}{lang}", [{"role": "user", "content": question}], answer, lang, "test")


class TrainingProject:
    """A home with a tiny base model and a small dataset; stage bodies run in it without Prefect."""

    def __init__(self, root: Path, family: str = "llama", chat_template: bool = True, base: Path | None = None):
        """`base` is a model folder that there is already, in place of a tiny one of a family."""
        self.home = Home(root / "home")
        self.home.root.mkdir()
        self.log: list[str] = []
        self.context = Context(
            self.home,
            str(base or save_tiny(root / "base", family, chat_template, hidden=64)),
            "",
            emit=lambda text, final: None,
            log=self.log.append,
        )
        with ArtifactStore(self.home).draft("dataset", "d" * 64) as folder:
            rows = [
                instruction(question, answer, lang)
                for question in QUESTIONS
                for answer, lang in (("It is a piece of text.", "en"), ("文の一部です。", "ja"))
            ]
            save(folder / "instructions/train.parquet", rows[:8])
            save(folder / "instructions/eval.parquet", rows[8:])
            save(
                folder / "text/train.parquet",
                [Text("a", "the cat sat on the mat. " * 40, "en", ""), Text("b", "猫が座る。" * 40, "ja", "")],
            )
            save(
                folder / "text/eval.parquet", [Text("c", "the cat sat on the mat. " * 10, "en", ""), Text("d", "猫が座る。" * 20, "ja", "")]
            )
            self.dataset = self.commit(folder, {})

    def commit(self, folder: Path, meta: dict) -> ArtifactRef:
        return ArtifactStore(self.home).commit(folder, {"inputs": {}, "meta": meta})

    def work(self, name: str, folder: Path, inputs: dict[str, ArtifactRef]) -> Work:
        return Work(STAGES[name], folder, self.context, {"model": resolve(self.context.model, self.home)})

    def run(self, name: str, settings, **inputs: ArtifactRef) -> ArtifactRef:
        """What `execute` does around a body, without the Prefect task."""
        key = f"{name}{len(list(self.home.objects.rglob('manifest.json')))}"
        inputs = {"dataset": self.dataset, **inputs}
        with ArtifactStore(self.home).draft(STAGES[name].kind, key) as folder:
            work = self.work(name, folder, inputs)
            record = function(STAGES[name].body)(settings, inputs, work)
            work.write_tables()
            return self.commit(folder, record.with_headlines(work.headlines).meta())

    def folder(self, ref: ArtifactRef) -> Path:
        return ArtifactStore(self.home).path(ref)

    def metrics(self, ref: ArtifactRef) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for row in pq.read_table(self.folder(ref) / "tables/metrics.parquet").to_pylist():
            found.setdefault(row["name"], []).append(row["value"])
        return found

    def logits(self, ref: ArtifactRef | None) -> torch.Tensor:
        with torch.no_grad():
            work = self.work("tune", self.home.root, {})
            return open_model(work.model.path, work.trained(ref), work.adapter)[0](IDS).logits
