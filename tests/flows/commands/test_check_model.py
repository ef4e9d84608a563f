"""`migaki models --check` and `migaki doctor --for tune`, as a user runs them."""

import json

import pytest

from flows.commands.check_model import check_model
from flows.running.parameters import RunParams
from tests.helpers.command import migaki, migaki_in_process
from tests.helpers.models import FAMILIES, save_tiny


@pytest.fixture
def model(tmp_path):
    return save_tiny(tmp_path / "model")


@pytest.mark.slow
def test_a_good_model(tmp_path, model):
    answer = migaki(tmp_path / "home", "models", "--check", str(model))
    assert answer["exit_code"] == 0 and answer["problems"] == [] and answer["facts"]["family"] == "llama"
    for text in (
        "nothing in the way",
        "q_proj, k_proj, v_proj",
        "takes system turns",
        "nats from the model's own forward",
        "260 tokens",
        "F32 100%",
    ):
        assert text in answer["stderr"], text
    same = migaki_in_process(tmp_path / "home", "doctor", "--for", "tune", "--model", str(model), "--set", "tune.lora_targets=attention")
    assert same["exit_code"] == 0 and same["facts"]["targets"]["names"] == ["q_proj", "v_proj"] and same["checksum"] == answer["checksum"]


def test_what_would_be_refused_ends_with_1(home, model, tmp_path, capsys):
    FAMILIES["llama"]().save_pretrained(tmp_path / "bare")
    cases = {
        str(tmp_path / "bare"): "has no tokenizer",
        str(tmp_path / "nowhere"): "is no model folder",
        "wheel:nonsense": "is no model reference",
        str(save_tiny(tmp_path / "narrow", vocab=100)): "embeddings for 100",
    }
    for reference, problem in cases.items():
        answer = check_model(home, reference, RunParams({}))
        assert answer["exit_code"] == 1 and len(answer["problems"]) == 1 and problem in answer["problems"][0], reference
        assert "would not work:" in capsys.readouterr().err
        json.dumps(answer)
    answer = check_model(home, str(model), RunParams({"tune": {"lora_targets": "gate"}}))
    assert answer["exit_code"] == 1 and "accepted: attention, all-linear" in answer["problems"][0]


def test_the_list_is_still_there(tmp_path):
    assert any(row["family"] == "GPT-2" for row in migaki_in_process(tmp_path, "models")["models"])
