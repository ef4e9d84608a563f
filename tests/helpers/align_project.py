"""A home with a tuned model and its reward models, all tiny and random, in which the stage align runs without Prefect."""

import json
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import torch

from flows.catalogue.stages import STAGES
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.home import Home
from tasks.data.records import Instruction, Preference, save
from tasks.models.opening import open_model
from tasks.models.reference import resolve
from tasks.rlhf.reward import FACTS, MODELS, RewardModel
from tasks.rlhf.roles import Roles, scalar_head
from tasks.rlhf.settings import PPOSettings
from tasks.stages.spec import function
from tasks.stages.work import Context, Work
from tests.helpers.models import tiny_llama, tiny_tokenizer

IDS = torch.arange(2 * 9).reshape(2, 9)
FREE = {"kl_limit": 1e9, "length_limit": 1e9, "distinct_limit": 1.0, "refusal_limit": 1.0, "copy_limit": 1.0}
SMALL = {
    "updates": 2,
    "episodes": 8,
    "answer_tokens": 6,
    "learning_rate": 1e-2,
    "lora_r": 4,
    "micro_batch": 4,
    "epochs": 1,
    "minibatches": 1,
    "kl_coef": 0.1,
}


def question(i: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"say {i}"}]


def speaker() -> torch.nn.Module:
    """A tiny model whose words depend on its states: a random head is too weak for any policy to be far from uniform."""
    model = tiny_llama(layers=3)
    model.lm_head.weight.mul_(10)
    return model


PAIRS = [Preference(f"p{i}", question(i), "!" * (3 + i % 3), "?" * 4, "en", "t", half=i % 2) for i in range(12)]


class AlignProject:
    """A home with a tuned model (an adapter without effect) and its reward models; `align` runs in it without Prefect."""

    def __init__(self, root: Path):
        self.home, self.log, self.made = Home(root / "home"), [], 0
        self.home.root.mkdir()
        base = root / "base"
        speaker().save_pretrained(base)
        tiny_tokenizer().save_pretrained(base)
        self.context = Context(self.home, str(base), "", emit=lambda text, final: None, log=self.log.append)
        self.dataset = self.with_rows(preferences=PAIRS)
        with self.draft("adapter") as folder:
            roles = Roles(speaker(), 2)
            roles.add("default", 2, "attention", 0)
            roles.model.save_pretrained(folder / "adapter")
            self.tuned = self.commit(folder, {"adapters": [folder.name.partition(".tmp-")[0]]})
        with self.draft("reward_model") as folder:
            roles = Roles(speaker(), 2)
            for seed, which in enumerate(MODELS):
                roles.add(which, 2, "attention", seed)
                RewardModel(roles, which, scalar_head(roles.hidden_size, seed)).save(folder / which)
            (folder / FACTS).write_text(json.dumps({"layer": 2, "r": 2, "targets": "attention", "trunk": "float32"}))
            self.reward = self.commit(folder, {})

    def with_rows(self, *, held_out: dict[str, list] | None = None, **kinds: list) -> ArtifactRef:
        """A dataset of 16 instructions and of these records by kind."""
        rows = [Instruction(f"i{i}", question(i), "yes", "en" if i % 2 else "ja", "t") for i in range(16)]
        with self.draft("dataset") as folder:
            for split, parts in (("train", {"instructions": rows} | kinds), ("eval", held_out or {})):
                for kind, records in parts.items():
                    save(folder / kind / f"{split}.parquet", records)
            return self.commit(folder, {})

    def draft(self, kind: str):
        self.made += 1
        return ArtifactStore(self.home).draft(kind, f"{kind}{self.made:04}")

    def commit(self, folder: Path, meta: dict) -> ArtifactRef:
        manifest = {"stage": "align", "run_id": "r", "settings": {}, "inputs": {}, "model": None, "meta": meta, "seconds": 0.0}
        return ArtifactStore(self.home).commit(folder, manifest | {"created": datetime.now().isoformat()})

    def work(self, folder: Path) -> Work:
        return Work(STAGES["align"], folder, self.context, {"model": resolve(self.context.model, self.home)})

    def align(self, dataset: ArtifactRef | None = None, *, reward: bool = True, **settings) -> ArtifactRef:
        inputs = {"dataset": dataset or self.dataset, "tuned": self.tuned} | ({"reward": self.reward} if reward else {})
        with self.draft("adapter") as folder:
            work = self.work(folder)
            record = function(STAGES["align"].body)(PPOSettings(**SMALL | FREE | settings), inputs, work)
            work.write_tables()
            return self.commit(folder, record.with_headlines(work.headlines).meta())

    def path(self, ref: ArtifactRef) -> Path:
        return ArtifactStore(self.home).path(ref)

    def table(self, ref: ArtifactRef, name: str) -> list[dict]:
        return pq.read_table(self.path(ref) / "tables" / f"{name}.parquet").to_pylist()

    def metric(self, ref: ArtifactRef, name: str) -> list[float]:
        return [row["value"] for row in self.table(ref, "metrics") if row["name"] == name]

    def logits(self, ref: ArtifactRef) -> torch.Tensor:
        work = self.work(self.home.root)
        with torch.no_grad():
            return open_model(work.model.path, work.trained(ref), work.adapter)[0](IDS).logits
