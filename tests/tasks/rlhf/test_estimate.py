"""The memory of RLHF: the arithmetic by hand, what makes it smaller, the refusal with its way out."""

import pytest

from tasks.errors import MigakiError
from tasks.models.memory import MIB, NF4_BYTES, PROGRAM, model_of_shapes
from tasks.rlhf.estimate import estimate, require_memory
from tasks.rlhf.settings import AlignSettings
from tests.helpers.models import FAMILIES


@pytest.fixture(params=sorted(FAMILIES))
def shapes(request, tmp_path):
    """(the model in memory, the same without weights)."""
    folder = tmp_path
    model = FAMILIES[request.param](layers=3)
    model.config.save_pretrained(folder)
    return model, model_of_shapes(folder)


def test_weights_and_adapters_are_counted_as_they_are(shapes):
    model, empty = shapes
    from tasks.rlhf.roles import Roles

    settings = AlignSettings(reward_lora_r=4, lora_r=2, lora_targets="attention")
    need = estimate(empty, settings, 20)
    parameters = sum(p.numel() for p in model.parameters())
    roles = Roles(model, 2)
    policy, critic = (sum(p.numel() for p in roles.add(*role)) for role in (("default", 2, "attention", 0), ("critic", 4, "all-linear", 0)))
    assert need.held["weights"] == 4 * parameters
    assert need.held["adapters"] == 4 * (2 * policy + 3 * critic)
    assert need.held["optimizers"] == 12 * (policy + critic)
    assert all(parameter.is_meta for parameter in empty.parameters())


@pytest.mark.parametrize(
    "change", [{"micro_batch": 1}, {"trunk": "nf4"}, {"trunk": "bfloat16"}, {"answer_tokens": 8}, {"critic_fraction": 0.1}, {"lora_r": 1}]
)
def test_what_is_smaller_takes_less(change):
    model = FAMILIES["llama"](layers=12)
    before, after = (estimate(model, AlignSettings(**settings), 20, "cuda") for settings in ({}, change))
    assert after.total < before.total


def test_four_bits_take_an_eighth_of_the_matrices():
    model = FAMILIES["llama"](layers=3)
    full, four = (estimate(model, AlignSettings(trunk=trunk), 20).held["weights"] for trunk in ("float32", "nf4"))
    matrices = sum(p.numel() for name, p in model.named_parameters() if ".layers." in name and p.dim() == 2)
    assert full - four == pytest.approx(matrices * (4 - NF4_BYTES))


def test_adapters_of_a_narrow_trunk_keep_a_copy_of_what_enters_them():
    model = FAMILIES["llama"](layers=3, hidden=32)
    full, half = (
        estimate(model, AlignSettings(trunk=trunk), 20, "cuda").phases["learning"]["activations"] for trunk in ("float32", "bfloat16")
    )
    tokens = AlignSettings().micro_batch * (20 + AlignSettings().answer_tokens)
    assert half == full / 2 + 4 * tokens * (6 * 32 + 64)  # query, key, value, output, gate and up take 32 numbers each, down takes 64


def test_a_run_that_does_not_fit_is_refused_with_the_sum_and_the_way_out():
    model = FAMILIES["llama"](layers=12)
    settings = AlignSettings(micro_batch=64, episodes=64, minibatches=1)
    need = estimate(model, settings, 200)
    assert require_memory(model, settings, 200, int(need.total) + MIB) == need
    with pytest.raises(MigakiError, match=r"weights .* --set align.micro_batch=1 would bring it to"):
        require_memory(model, settings, 200, int(need.total) - 2 * MIB)
    with pytest.raises(MigakiError, match="no setting of align makes it fit"):
        require_memory(model, settings, 200, PROGRAM // 2)
