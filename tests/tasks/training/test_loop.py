"""The training loop: explicit masks, one loss however it is cut, a cache that changes nothing, and every setting read."""

import math

import pytest
import torch

from tasks.errors import MigakiError
from tasks.models.batching import Example, collate
from tasks.models.likelihood import answer_nll, score_examples, target_logprobs, target_logprobs_and_entropy, whole_model
from tasks.models.trunk import lm_head
from tasks.training.loop import (
    accumulate,
    apply_gradient,
    epoch_batches,
    learning_rate_factor,
    make_optimizer,
    total_steps,
    train,
)
from tasks.training.methods import make_trainable
from tasks.training.settings import TuneSettings
from tests.helpers.models import FAMILIES, tiny_gpt2, tiny_llama

END = 256


def examples(rows: int = 10, seed: int = 0) -> list[Example]:
    """Rows of unlike lengths whose answers end with the token that tokenizers also pad with."""
    torch.manual_seed(seed)
    lengths = [(int(torch.randint(2, 9, ())), int(torch.randint(1, 12, ()))) for _ in range(rows)]
    return [Example([*torch.randint(0, 250, (p + a,)).tolist(), END], p, a) for p, a in lengths]


def settings(**values) -> TuneSettings:
    return TuneSettings(**{"lora_r": 4, "lora_alpha": 8, "top_fraction": 0.5, "epochs": 2, "batch_size": 4, "seed": 1} | values)


def gradient(trainable, rows, batch, micro_batch, cache_mb=64) -> tuple[float, torch.Tensor]:
    loss = accumulate(trainable, trainable.final_states(rows, cache_mb), rows, batch, micro_batch)
    return loss, torch.cat([p.grad.flatten() for p in trainable.parameters if p.grad is not None])


@pytest.mark.parametrize("method", ["lora", "full"])
def test_gradient_does_not_depend_on_the_micro_batch(method):
    rows = examples()
    results = []
    for micro_batch in (1, 3, 10):
        trainable = make_trainable(tiny_llama(), settings(method=method))
        results.append(gradient(trainable, rows, list(range(10)), micro_batch))
    for loss, grad in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-5)
        torch.testing.assert_close(grad, results[0][1], rtol=1e-4, atol=1e-6)


def test_loss_of_a_step_is_the_mean_over_answer_tokens_not_over_rows():
    model, rows = tiny_llama(), [Example([1, 2, 3, END], 3), Example([4, 5, *range(6, 26), END], 2)]
    scores = score_examples(model, rows)
    assert [score.tokens for score in scores] == [1, 21]
    trainable = make_trainable(model, settings(method="full"))
    loss = accumulate(trainable, whole_model(model), rows, [0, 1], micro_batch=1)
    assert loss == pytest.approx(sum(score.nll for score in scores) / 22, rel=1e-5)


def test_end_token_is_learnt_although_it_is_the_padding_token():
    """The target tokens are those of the answers, the last one the end token, whatever id fills up the batch."""
    rows = [Example([1, 2, 3, 4, 5, END], 2), Example([7, 8, END], 2)]
    batches = [collate(rows, [0, 1], pad_id=pad) for pad in (0, END)]
    assert batches[0].targets.tolist() == batches[1].targets.tolist() == [3, 4, 5, END, END]
    model = tiny_llama()
    losses = [answer_nll(whole_model(model), lm_head(model), batch) for batch in batches]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_under_a_frozen_head_have_the_gradient_of_a_head_that_learns(temperature):
    """The frozen head's gradient is written out by hand, over parts of the rows; a head that learns goes through autograd."""
    torch.manual_seed(0)
    head, targets, weights = torch.nn.Linear(8, 50, bias=False), torch.randint(50, (600,)), torch.randn(600)
    found = {}
    for learns in (True, False):
        head.requires_grad_(learns)
        states = torch.randn(600, 8, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
        logprobs = target_logprobs(head, states, targets, temperature)
        (logprobs * weights).sum().backward()
        found[learns] = logprobs.detach(), states.grad
    assert head.weight.grad.abs().sum() > 0
    torch.testing.assert_close(found[True], found[False])
    with torch.no_grad():
        expected = torch.log_softmax(head(states) / temperature, -1)
        torch.testing.assert_close(target_logprobs_and_entropy(head, states, targets, temperature)[1], -(expected.exp() * expected).sum(-1))


def test_prompt_tokens_have_no_loss():
    model = tiny_llama()
    head = lm_head(model)
    hidden = torch.randn(1, 6, 32, requires_grad=True)
    batch = collate([Example([1, 2, 3, 4, 5, END], 4)], [0], pad_id=0)
    answer_nll(lambda _: hidden, head, batch).sum().backward()
    assert hidden.grad.abs().sum(-1)[0].ne(0).tolist() == [False, False, False, True, True, False]


@pytest.mark.parametrize("family", FAMILIES)
def test_cached_trunk_trains_exactly_as_the_whole_model(family):
    """GPT-2 and its like have dropout of their own: it must not get into the states that are kept."""
    rows, weights = examples(), []
    for cache_mb in (64, 0):
        trainable = make_trainable(FAMILIES[family](), settings())
        assert trainable.layer == 2
        train(trainable, rows, settings(cache_mb=cache_mb), lambda step, loss: None)
        weights.append(torch.cat([p.detach().flatten() for p in trainable.parameters]))
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-5)
    whole = [score.nll for score in score_examples(trainable.model, rows)]
    cached = [score.nll for score in score_examples(trainable.model, rows, final_states=trainable.final_states(rows, 64))]
    assert cached == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_lowers_the_loss_in_every_family(family, method):
    rows, losses = examples(6), []
    chosen = settings(method=method, epochs=15, learning_rate=2e-2, lora_r=8, batch_size=6)
    trainable = make_trainable(FAMILIES[family](), chosen)
    train(trainable, rows, chosen, lambda step, loss: losses.append(loss))
    assert losses[-1] < {"full": 0.85, "lora": 0.95}[method] * losses[0]  # under adapters the random head stays as it is
    assert len(losses) == 15


def test_only_adapters_move_and_only_those_of_the_top():
    model = tiny_gpt2()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    trainable = make_trainable(model, settings(top_fraction=0.25))
    train(trainable, examples(), settings(top_fraction=0.25), lambda step, loss: None)
    after = trainable.model.state_dict()
    for name, weight in after.items():
        if "lora_" in name:
            assert ".h.3." in name
        else:
            torch.testing.assert_close(weight, before[name.removeprefix("base_model.model.").replace(".base_layer", "")])
    assert any(weight.abs().max() > 0 for name, weight in after.items() if "lora_B" in name)


def test_same_seed_same_weights_other_seed_others():
    def weights(seed: int) -> torch.Tensor:
        chosen = settings(seed=seed, lora_dropout=0.2)
        trainable = make_trainable(tiny_llama(), chosen)
        train(trainable, examples(), chosen, lambda step, loss: None)
        return torch.cat([p.detach().flatten() for p in trainable.parameters])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_dropout_of_adapters_is_on_in_training_and_off_in_measuring():
    trainable = make_trainable(tiny_gpt2(), settings(lora_dropout=0.5))
    trainable.train_mode()
    on = {name for name, module in trainable.model.named_modules() if module.training}
    assert on and all(".lora_dropout" in name for name in on)
    train(trainable, examples(), settings(lora_dropout=0.5), lambda step, loss: None)
    assert not any(module.training for module in trainable.model.modules())


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 1e-4},
        {"schedule": "linear"},
        {"schedule": "constant"},
        {"warmup_share": 0.5},
        {"weight_decay": 5.0},
        {"max_grad_norm": 1e-4},
        {"batch_size": 3},
        {"epochs": 1.0},
        {"seed": 2},
        {"lora_r": 2},
        {"lora_alpha": 1},
        {"lora_dropout": 0.5},
        {"lora_targets": "attention"},
        {"top_fraction": 0.25},
        {"method": "full"},
    ],
)
def test_every_setting_changes_the_result(change):
    def outcome(**values) -> list[float]:
        chosen = settings(**values)
        trainable = make_trainable(tiny_llama(), chosen)
        train(trainable, examples(), chosen, lambda step, loss: None)
        return [score.nll for score in score_examples(trainable.model, examples(4, seed=9))]

    assert outcome() != pytest.approx(outcome(**change), rel=1e-9)


def test_learning_rate_rises_then_falls():
    cosine = [learning_rate_factor(step, 10, 0.2, "cosine") for step in range(10)]
    assert cosine[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert cosine == sorted(cosine[:2]) + sorted(cosine[2:], reverse=True)
    assert [learning_rate_factor(step, 4, 0.0, "linear") for step in range(4)] == pytest.approx([1.0, 0.75, 0.5, 0.25])
    assert {learning_rate_factor(step, 4, 0.0, "constant") for step in range(4)} == {1.0}


def test_every_row_is_met_once_per_epoch_among_rows_of_like_length():
    rows = examples(50)
    batches = list(epoch_batches(rows, 4, 1.0, seed=0))
    assert sorted(row for batch in batches for row in batch) == list(range(50))
    padding = sum(max(len(rows[row].ids) for row in batch) * len(batch) for batch in batches) / sum(len(row.ids) for row in rows)
    unsorted = sum(max(len(rows[row].ids) for row in range(i, min(50, i + 4))) * min(4, 50 - i) for i in range(0, 50, 4)) / sum(
        len(row.ids) for row in rows
    )
    assert padding < 1.1 < unsorted
    assert len(list(epoch_batches(rows, 4, 2.5, seed=0))) == total_steps(50, 4, 2.5) == math.ceil(13 * 2.5)


def test_gradient_is_clipped_and_biases_do_not_decay():
    model = tiny_gpt2()
    trainable = make_trainable(model, settings(method="full"))
    optimizer = make_optimizer(trainable.parameters, settings(weight_decay=0.3))
    assert {p.ndim >= 2 for p in optimizer.param_groups[0]["params"]} == {True} and optimizer.param_groups[0]["weight_decay"] == 0.3
    assert {p.ndim for p in optimizer.param_groups[1]["params"]} == {1} and optimizer.param_groups[1]["weight_decay"] == 0.0
    for p in trainable.parameters:
        p.grad = torch.full_like(p, 2.0)
    seen = {}
    optimizer.step = lambda: seen.update(norm=torch.cat([p.grad.flatten() for p in trainable.parameters]).norm().item())
    norm = apply_gradient(trainable, optimizer, 0.5)
    assert norm == pytest.approx(2 * math.sqrt(sum(p.numel() for p in trainable.parameters)), rel=1e-4)
    assert seen["norm"] == pytest.approx(0.5, rel=1e-4)
    assert all(p.grad is None for p in trainable.parameters)


def test_a_loss_that_is_not_finite_stops_with_the_step_and_changes_nothing():
    trainable = make_trainable(tiny_llama(), settings())
    rows = examples()

    def poison(step: int, loss: float) -> None:
        if step == 2:
            trainable.parameters[-1].data.fill_(float("nan"))

    with pytest.raises(MigakiError, match=r"step 3 of 6: the loss is nan.*learning_rate below 0.001"):
        train(trainable, rows, settings(), poison)
    assert all(torch.isfinite(p).all() for p in trainable.parameters[:-1])
