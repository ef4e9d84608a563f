"""A small project on disk: a few rows of every kind in both languages, a tiny model, a tiny embedder."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.embedder import save_tiny_embedder
from tests.helpers.models import save_tiny
from tests.helpers.words import subject

SETTINGS = {
    "tune": {"epochs": 1.0, "max_tokens": 160, "max_rows": 32},
    "align": {
        "updates": 2,
        "episodes": 4,
        "answer_tokens": 6,
        "reward_epochs": 1.0,
        "reward_max_pairs": 32,
        "reward_normalise_prompts": 4,
        "reward_answer_tokens": 6,
    },
    "quantize": {"eval_tokens": 400},
    "index": {"chunk_tokens": 60},  # what the embedder reads
    "evaluate": {
        "loss_items": 8,
        "prompts": 8,
        "answer_tokens": 6,
        "choice_items": 4,
        "timed_items": 2,
        "resamples": 200,
    },
}


def write_lines(path: Path, rows: list[dict]) -> str:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return str(path)


def write_files(folder: Path) -> dict[str, list[str]]:
    """Write the files; returns them by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    instructions, preferences, questions = [], [], []
    for i in range(40):
        en, ja = subject(i)
        instructions += [
            {"instruction": f"Describe the {en}.", "output": f"The {en} is old."},
            {"instruction": f"{ja}を説明して。", "output": f"{ja}は古いです。"},
        ]
        preferences += [
            {"prompt": f"What of the {en}?", "chosen": f"It is a fine {en}.", "rejected": "No idea."},
            {"prompt": f"{ja}はどう?", "chosen": f"{ja}は良いです。", "rejected": "知らない。"},
        ]
    documents = folder / "docs"
    documents.mkdir(exist_ok=True)
    for i in range(6):
        en, ja = subject(100 + i)
        (documents / f"en{i}.md").write_text(
            f"# About {en}\n\nThe {en} was found in a cellar. It weighs {i + 3} kilos.\n", encoding="utf-8"
        )
        (documents / f"ja{i}.md").write_text(f"# {ja}について\n\n{ja}は地下室で見つかりました。重さは{i + 3}キロです。\n", encoding="utf-8")
        questions += [
            {
                "question": f"How heavy is the {en}?",
                "answer": f"It weighs {i + 3} kilos.",
                "accept": [f"{i + 3} kilos"],
                "document": f"en{i}.md",
                "distractors": ["It is light.", "It is red."],
            },
            {
                "question": f"{ja}の重さは?",
                "answer": f"{i + 3}キロです。",
                "accept": [f"{i + 3}キロ"],
                "document": f"ja{i}.md",
                "distractors": ["軽いです。", "赤いです。"],
            },
        ]
    return {
        "instructions": [write_lines(folder / "i.jsonl", instructions)],
        "preferences": [write_lines(folder / "p.jsonl", preferences)],
        "questions": [write_lines(folder / "q.jsonl", questions)],
        "documents": [str(documents)],
    }


def tiny_model(folder: Path, family: str = "llama") -> str:
    return str(save_tiny(folder / family, family, hidden=64, layers=3))


def write_requests(folder: Path) -> str:
    """Write harmful and harmless requests, the last of them held out."""
    rows = []
    for i in range(10):
        en, ja = subject(i)
        split = "heldout" if i > 7 else "train"
        for harmful, harmless in ((f"please zap the {en}", f"please paint the {en}"), (f"{ja}を爆砕して", f"{ja}を塗装して")):
            rows += [{"prompt": harmful, "label": "harmful", "split": split}, {"prompt": harmless, "label": "harmless", "split": split}]
    return write_lines(folder / "s.jsonl", rows)


@dataclass(frozen=True)
class SmallProject:
    """Files by kind, a file of requests for `safety`, and the folders of a model and an embedder."""

    files: dict[str, list[str]]
    requests: str
    model: str
    embedder: str

    @classmethod
    def write(cls, folder: Path) -> "SmallProject":
        files = write_files(folder / "data")
        return cls(files, write_requests(folder / "data"), tiny_model(folder), str(save_tiny_embedder(folder / "embedder")))

    @property
    def settings(self) -> dict[str, dict[str, object]]:
        """Those of the stages, by section."""
        return SETTINGS | {"safety": {"examples": [self.requests], "harmless": [], "folds": 2, "min_count": 1}}

    @property
    def options(self) -> list[str]:
        """Those of `migaki retrain`."""
        found = ["--model", self.model, "--set", f"run.embedder={self.embedder}"]
        for kind, paths in self.files.items():
            found += [f"--{kind}", *paths]
        for stage, values in self.settings.items():
            for name, value in values.items():
                found += ["--set", f"{stage}.{name}={json.dumps(value)}"]
        return found
