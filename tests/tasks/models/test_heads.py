"""Migaki's own path through a model gives what the model's own forward gives, whatever a family does around its embeddings and its head."""

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import Gemma3Config

from tasks.errors import MigakiError
from tasks.inference.sampling import SamplingParams, sample
from tasks.models.agreement import TOLERANCE, Agreement, agreement
from tasks.models.batching import Example, collate
from tasks.models.families import HeadScale, head_scale
from tasks.models.head import Head
from tasks.models.likelihood import CachedTrunk, answer_nll, score_examples, target_logprobs, target_logprobs_and_entropy
from tasks.models.lora import lora_config
from tasks.models.trunk import TopModel, decoder, lm_head
from tests.helpers.heads import LAYERS, SETTINGS, VOCABULARY, tiny_of

EXAMPLES = [
    Example([5, 9, 12, 30, 7, 41, 8, 1], 3),
    Example([6, 2, 50, 33, 1], 2),
    Example([11, 40, 40, 3, 22, 17, 60, 4, 28, 35, 1], 5),
]


def own_nll(model, example):
    """The sum over the answer, from the model's own forward."""
    logits = model(input_ids=torch.tensor([example.ids]), use_cache=False).logits[0].float()
    logprobs = torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(example.ids[1:])[:, None])[:, 0]
    return float(-logprobs[example.answer_start - 1 :].sum())


@pytest.mark.parametrize("family", SETTINGS)
def test_losses_are_those_of_the_models_own_forward(family):
    model = tiny_of(family)
    with torch.no_grad():
        expected = [own_nll(model, example) for example in EXAMPLES]
    assert [score.nll for score in score_examples(model, EXAMPLES)] == pytest.approx(expected, abs=1e-4)
    for k in (0, 1, LAYERS // 2, LAYERS - 1):
        scores = score_examples(model, EXAMPLES, final_states=CachedTrunk(model, k, EXAMPLES))
        assert [score.nll for score in scores] == pytest.approx(expected, abs=1e-4), k


@pytest.mark.parametrize("family", SETTINGS)
def test_gradients_under_the_frozen_head_are_those_of_autograd(family):
    model = tiny_of(family)
    head, body = lm_head(model), decoder(model)
    torch.manual_seed(1)
    targets, weights, start = torch.randint(VOCABULARY, (150,)), torch.randn(150), torch.randn(150, 32)
    found = {}
    for path in ("written out", "autograd"):
        states = start.clone().requires_grad_(True)
        if path == "written out":
            logprobs = target_logprobs(head, states, targets, 0.7)
        else:  # the model's own forward with these states in the place of what its body gives
            handle = body.register_forward_hook(lambda *_: _Output(states[None]))
            logits = model(input_ids=torch.zeros(1, 1, dtype=torch.long), use_cache=False).logits[0]
            handle.remove()
            logprobs = torch.log_softmax(logits / 0.7, -1).gather(1, targets[:, None])[:, 0]
        (logprobs * weights).sum().backward()
        found[path] = logprobs.detach(), states.grad
    torch.testing.assert_close(found["written out"], found["autograd"], atol=1e-5, rtol=1e-4)


class _Output(tuple):
    """What a decoder returns, of which only the states are read, by name or by place."""

    past_key_values = hidden_states = attentions = cross_attentions = router_logits = None

    def __new__(cls, states):
        output = super().__new__(cls, (states,))
        output.last_hidden_state = states
        return output


@pytest.mark.parametrize("family", SETTINGS)
def test_greedy_answers_are_the_models_own(family):
    model, prompts = tiny_of(family), [[5, 9, 12], [6, 2, 50, 33, 21, 8], [11]]
    answers = sample(model, prompts, SamplingParams(5, set(), temperature=0))
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = list(prompt)
        for token, logprob in zip(answer.ids, answer.logprobs, strict=True):
            with torch.no_grad():
                own = torch.log_softmax(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1], -1)
            assert token == int(own.argmax()) and logprob == pytest.approx(float(own[token]), abs=1e-4)
            ids.append(token)


@pytest.mark.parametrize("family", SETTINGS)
def test_a_known_family_agrees(family):
    found = agreement(tiny_of(family), EXAMPLES[2].ids)
    assert found.holds and found.layer is None, found


@pytest.mark.parametrize("family", ["llama", "granite", "gemma2", "phi", "phi3", "opt", "bloom", "starcoder2"])
@pytest.mark.parametrize("targets", ["attention", "all-linear"])
def test_a_model_with_adapters_agrees(family, targets):
    model = tiny_of(family)
    tuned = get_peft_model(model, lora_config(model, rank=4, alpha=8, from_layer=2, targets=targets))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    assert agreement(tuned.eval(), EXAMPLES[0].ids).holds


def test_what_is_overlooked_is_found_and_placed(monkeypatch):
    model = tiny_of("gemma2")
    monkeypatch.setattr("tasks.models.trunk.head_scale", lambda _: HeadScale())
    head = agreement(model, EXAMPLES[0].ids)
    assert head.distance > 0.01 and not head.holds and head.layer == LAYERS
    monkeypatch.undo()
    monkeypatch.setattr("tasks.models.trunk.without_embedding", lambda _: None)
    for family in ("granite", "bloom", "opt", "gpt2"):
        embedding = agreement(tiny_of(family), EXAMPLES[0].ids)
        assert embedding.distance > 0.01 and embedding.layer == 0, family
    assert not Agreement(float("nan"), None).holds and TOLERANCE == 1e-4


def test_the_slope_of_a_capped_head():
    """Against autograd in double precision, where logits are small beside the cap and where they reach it."""
    linear, states = nn.Linear(3, 7).double(), 20 * torch.randn(50, 3).double()
    head = Head(linear, HeadScale(0.5, 4.0))
    given = linear(states).detach().requires_grad_(True)
    bent = 4.0 * torch.tanh(0.5 * given / 4.0)
    bent.sum().backward()
    torch.testing.assert_close(head(states), bent)
    torch.testing.assert_close(head.slope(bent), given.grad)
    assert Head(linear, HeadScale(0.5)).slope(bent) == 0.5


def test_entropies_are_of_the_capped_logits():
    model, states = tiny_of("gemma2"), torch.randn(9, 32)
    logprobs = torch.log_softmax(lm_head(model)(states), -1)
    found, entropies = target_logprobs_and_entropy(lm_head(model), states, torch.zeros(9, dtype=torch.long))
    torch.testing.assert_close(found, logprobs[:, 0])
    torch.testing.assert_close(entropies, -(logprobs.exp() * logprobs).sum(-1))


def test_a_head_that_learns_is_capped_too():
    model = tiny_of("gemma2")
    head, states, targets = lm_head(model), torch.randn(9, 32), torch.arange(9)
    frozen = target_logprobs(head, states.clone().requires_grad_(True), targets).detach()
    head.requires_grad_(True)
    learning = target_logprobs(head, states, targets)
    learning.sum().backward()
    torch.testing.assert_close(learning.detach(), frozen)
    assert head.weight.grad.abs().sum() > 0


def test_what_is_not_known_of_a_family_is_refused_by_name():
    for settings in ({"final_logit_softcapping": 30.0}, {"logit_scale": 0.5}, {"logits_scaling": 2}, {"lm_head_multiplier": 0.1}):
        model = tiny_of("qwen2", **settings)
        with pytest.raises(MigakiError, match=f"'qwen2' change their logits by {next(iter(settings))} = .* not supported"):
            lm_head(model)
    for settings in ({"embedding_multiplier": 12.0}, {"scale_emb": 12}, {"scale_embedding": True}):
        model = tiny_of("qwen2", **settings)
        with pytest.raises(MigakiError, match=f"'qwen2' change their embeddings by {next(iter(settings))}"):
            TopModel(model, 2)
    neutral = {"final_logit_softcapping": None, "logit_scale": 1.0, "embedding_multiplier": 1, "router_logit_softcapping": 9.0}
    assert agreement(tiny_of("qwen2", **neutral), EXAMPLES[0].ids).holds
    assert head_scale(tiny_of("granite").config) == HeadScale(0.25)
    # Gemma 3's decoder in a model that sees: whether that caps is its own affair.
    seeing = Gemma3Config(text_config={"final_logit_softcapping": 30.0})
    with pytest.raises(MigakiError, match="by final_logit_softcapping = 30"):
        head_scale(seeing)


def test_families_that_cannot_be_cut_are_refused_by_name():
    narrow = tiny_of("opt", word_embed_proj_dim=16)
    with pytest.raises(MigakiError, match="OPTDecoder has embeddings of another width than its states"):
        agreement(narrow, EXAMPLES[0].ids)
    # NanoChat's final norm is also what enters its first layer: a trunk without the one has no other.
    with pytest.raises(MigakiError, match="'nanochat' change their logits by final_logit_softcapping = 15"):
        agreement(tiny_of("nanochat"), EXAMPLES[0].ids)
    for kind, reason in {
        "mpt": "MptModel has no list of layers",
        "mamba": "layers of the family 'mamba' cannot be cut",
        "gemma4_text": "'gemma4_text' cannot be run in parts .RuntimeError",  # every layer has embeddings of its own
        "llama4_text": "Llama4ForCausalLM has no decoder named 'language_model'",
    }.items():
        with pytest.raises(MigakiError, match=reason):
            agreement(tiny_of(kind), EXAMPLES[0].ids)
    uncapped = agreement(tiny_of("nanochat", final_logit_softcapping=None), EXAMPLES[0].ids)
    assert not uncapped.holds and uncapped.layer == 0


@pytest.mark.parametrize("family", SETTINGS)
def test_adapters_above_a_cached_trunk_learn_by_the_gradient_of_the_models_own_loss(family):
    model, gradients = tiny_of(family), {}
    tuned = get_peft_model(model, lora_config(model, rank=2, alpha=4, from_layer=2)).eval()
    learnt = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
    torch.manual_seed(2)
    for parameter in learnt:
        nn.init.normal_(parameter, std=0.3)
    batch = collate(EXAMPLES, [0, 1, 2], pad_id=0)
    answer_nll(CachedTrunk(tuned, 2, EXAMPLES), lm_head(tuned), batch).sum().backward()
    gradients["own path"] = [parameter.grad for parameter in learnt]
    tuned.zero_grad(set_to_none=True)
    for example in EXAMPLES:
        labels = torch.tensor([-100] * example.answer_start + example.ids[example.answer_start :])[None]
        logits = tuned(input_ids=torch.tensor([example.ids]), use_cache=False).logits
        nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], reduction="sum").backward()
    assert learnt and all(parameter.grad.abs().sum() > 0 for parameter in learnt)
    torch.testing.assert_close(gradients["own path"], [parameter.grad for parameter in learnt], atol=2e-4, rtol=1e-3)
