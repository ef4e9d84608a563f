"""What a run would find out of a model is found out before one is begun."""

import json
import re

import pytest
from transformers import (
    GPTJConfig,
    GPTJForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MptConfig,
    MptForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tasks.errors import MigakiError
from tasks.models.loader import load_model
from tasks.models.lora import lora_layers
from tasks.models.memory import MIB, PROGRAM, model_of_shapes
from tasks.models.unmerged import load_unmerged
from tasks.training import inspection
from tasks.training.estimate import estimate
from tasks.training.inspection import inspect_model, require_trainable, stored_precisions
from tasks.training.methods import make_trainable
from tasks.training.settings import TuneSettings
from tests.helpers.heads import tiny_of
from tests.helpers.models import CHAT_TEMPLATE, FAMILIES, save_tiny, tiny_tokenizer

THOUGHTS = CHAT_TEMPLATE.replace("<|assistant|>{% endif %}", "<|assistant|><think>\n{% endif %}")
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system turns') }}{% endif %}{{ m['content'] }}{% endfor %}"
)
TOOLS = "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}" + CHAT_TEMPLATE


def saved(path, model, template=CHAT_TEMPLATE):
    model.save_pretrained(path)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(path)
    return path


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_with_nothing_in_the_way(family, tmp_path):
    model = FAMILIES[family]()
    found = inspect_model(saved(tmp_path, model), TuneSettings())
    trainable = make_trainable(FAMILIES[family](), TuneSettings())
    facts = found.facts
    assert found.problems == [] and facts["family"] == model.config.model_type
    assert facts["parameters"] == sum(p.numel() for p in model.parameters()) and facts["context"] == 512
    assert facts["precision"] == {"F32": 1.0} and facts["tokens"] == facts["embedding_rows"] == 260
    assert facts["end_token"] == "<|end|> (256)" and facts["template"] == "own"
    assert (facts["system_turns"], facts["tools"], facts["thoughts"]) == (True, False, False)
    assert facts["targets"]["modules"] == len(lora_layers(trainable.model))
    assert facts["targets"]["parameters"] == sum(p.numel() for p in trainable.parameters)
    assert facts["targets"]["from_layer"] == trainable.layer == 3
    assert facts["agreement"] <= 1e-4 and 0 < facts["need_mib"] < facts["free_mib"]


@pytest.mark.parametrize(
    ("template", "facts"),
    [
        (None, ("none of its own: alpaca (tune.template)", True, False, False)),
        (THOUGHTS, ("own", True, False, True)),
        (NO_SYSTEM, ("own", False, False, False)),
        (TOOLS, ("own", True, True, False)),
    ],
)
def test_what_a_template_takes(template, facts, tmp_path):
    found = inspect_model(saved(tmp_path, FAMILIES["llama"](), template), TuneSettings())
    assert found.problems == []
    assert tuple(found.facts[name] for name in ("template", "system_turns", "tools", "thoughts")) == facts


def test_a_template_that_fails_on_a_question(tmp_path):
    found = inspect_model(saved(tmp_path, FAMILIES["llama"](), "{{ raise_exception('never') }}"), TuneSettings())
    assert [problem.partition(":")[0] for problem in found.problems] == ["the model's chat template refuses a conversation of user"]


def test_no_tokenizer_too_many_tokens_and_no_end(tmp_path):
    FAMILIES["llama"]().save_pretrained(tmp_path / "bare")
    bare = inspect_model(tmp_path / "bare", TuneSettings())
    assert len(bare.problems) == 1 and "has no tokenizer" in bare.problems[0] and bare.facts["agreement"] <= 1e-4

    narrow = inspect_model(saved(tmp_path / "narrow", FAMILIES["llama"](vocab=100)), TuneSettings())
    assert len(narrow.problems) == 1 and "has 260 tokens and the model embeddings for 100" in narrow.problems[0]

    endless = saved(tmp_path / "endless", FAMILIES["llama"](), None)
    settings = json.loads((endless / "tokenizer_config.json").read_text())
    (endless / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in settings.items() if k not in ("eos_token", "pad_token")}))
    found = inspect_model(endless, TuneSettings())
    assert len(found.problems) == 1 and "nothing ends an answer" in found.problems[0] and found.facts["end_token"] is None


def test_weights_that_are_not_there_and_kinds_that_are_not_known(tmp_path):
    folder = saved(tmp_path, FAMILIES["llama"]())
    (folder / "model.safetensors").unlink()
    found = inspect_model(folder, TuneSettings())
    assert found.problems == [f"the model folder {folder.name!r} has no weights (*.safetensors)"] and "agreement" not in found.facts
    (folder / "config.json").write_text(json.dumps({"model_type": "abacus"}))
    assert "cannot be opened: of the family 'abacus'" in inspect_model(folder, TuneSettings()).problems[0]


def test_a_model_that_goes_on_with_no_text_is_one_short_message_whoever_opens_it(tmp_path):
    T5ForConditionalGeneration(T5Config(vocab_size=260, d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=4)).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    told = "of the family 't5' transformers has no causal language model, .* accepted are those of which it has"
    [problem] = inspect_model(tmp_path, TuneSettings()).problems
    assert re.search(told, problem) and len(problem) < 300
    for opens in (load_model, lambda folder: load_unmerged(folder, [], "nf4"), lambda folder: require_trainable(folder, TuneSettings())):
        with pytest.raises(MigakiError, match=told):
            opens(tmp_path)


@pytest.mark.parametrize(
    ("model", "method", "told"),
    [
        (MambaForCausalLM(MambaConfig(vocab_size=260, hidden_size=16, num_hidden_layers=2)), "lora", "family 'mamba' cannot be tuned by tune.method = lora"),
        (MptForCausalLM(MptConfig(vocab_size=260, d_model=16, n_heads=4, n_layers=2)), "full", "MptModel has no list of layers"),
        (GPTJForCausalLM(GPTJConfig(vocab_size=260, n_embd=16, n_layer=2, n_head=4, rotary_dim=4)), "ia3", "this gptj model does not have: .* accepted are lora"),
        (FAMILIES["falcon"](), "prompt", "family 'falcon' bring an attention of their own"),
    ],
)  # fmt: skip
def test_what_a_family_cannot_have_is_told_by_its_shapes(tmp_path, model, method, told):
    folder, settings = saved(tmp_path, model), TuneSettings(method=method)
    with pytest.raises(MigakiError, match=told):
        require_trainable(folder, settings)
    assert any(re.search(told, problem) for problem in inspect_model(folder, settings).problems)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"falcon"}))
@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_nothing_is_in_the_way_of_virtual_tokens_where_there_is_nothing(tmp_path, family, method):
    folder, settings = saved(tmp_path, FAMILIES[family]()), TuneSettings(method=method, virtual_tokens=4)
    found = inspect_model(folder, settings)
    assert found.problems == [] and found.facts["targets"]["share"] == make_trainable(load_model(folder), settings).share
    require_trainable(folder, settings)


def test_precisions_by_their_share_of_the_bytes(tmp_path):
    model = FAMILIES["llama"]().half()
    model.model.embed_tokens.float()
    model.save_pretrained(tmp_path)
    shares = stored_precisions(tmp_path)
    wide = 4 * model.model.embed_tokens.weight.numel()
    rest = sum(2 * p.numel() for p in model.parameters()) - wide // 2
    assert (
        shares["F32"] == pytest.approx(wide / (wide + rest)) and sum(shares.values()) == pytest.approx(1) and set(shares) == {"F32", "F16"}
    )


def test_refusals_of_the_targets_the_architecture_and_the_path(tmp_path, monkeypatch):
    tied = inspect_model(save_tiny(tmp_path / "tied", "gpt2"), TuneSettings(lora_targets="lm_head"))
    assert len(tied.problems) == 1 and "tied embeddings" in tied.problems[0] and tied.facts["targets"] is None
    experts = inspect_model(saved(tmp_path / "experts", tiny_of("mixtral", vocab_size=260)), TuneSettings())
    assert experts.problems == [] and experts.facts["targets"]["names"] == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert experts.facts["targets"]["frozen_experts"] > 0
    uncut = inspect_model(saved(tmp_path / "uncut", tiny_of("opt", vocab_size=260, word_embed_proj_dim=16)), TuneSettings())
    assert any("another width than its states" in problem for problem in uncut.problems)
    from tasks.models.families import HeadScale

    monkeypatch.setattr("tasks.models.trunk.head_scale", lambda _: HeadScale(1.5))
    found = inspect_model(save_tiny(tmp_path / "other"), TuneSettings())
    assert len(found.problems) == 1 and "does not give what its own forward gives" in found.problems[0]


def test_too_little_memory_is_said_with_what_would_fit(tmp_path, monkeypatch):
    folder, settings = save_tiny(tmp_path), TuneSettings(micro_batch=64, top_fraction=1.0, max_tokens=512)
    shapes = model_of_shapes(folder)
    whole, small = (estimate(shapes, s, 512) for s in (settings, settings.model_copy(update={"micro_batch": 1})))
    monkeypatch.setattr(inspection, "free_memory", lambda _: int(small.total) + MIB)
    found = inspect_model(folder, settings)
    assert (
        len(found.problems) == 1 and "--set tune.micro_batch=1 would bring it to" in found.problems[0] and whole.total > small.total + MIB
    )
    monkeypatch.setattr(inspection, "free_memory", lambda _: PROGRAM // 2)
    found = inspect_model(folder, settings)
    assert "no setting of tune makes it fit" in found.problems[0] and "agreement" not in found.facts  # which would have to load it


def test_the_estimate_counts_what_is_trained():
    model = FAMILIES["llama"](layers=6)
    everything = sum(p.numel() for p in model.parameters())
    lora, full = (estimate(model, TuneSettings(method=method), 100, rows=10) for method in ("lora", "full"))
    trained = sum(p.numel() for p in make_trainable(FAMILIES["llama"](layers=6), TuneSettings()).parameters)
    assert (lora.held["weights"], lora.held["adapters"], lora.held["optimizer"]) == (4 * everything, 4 * trained, 12 * trained)
    assert (full.held["adapters"], full.held["optimizer"], full.held["states of the frozen layers"]) == (0, 12 * everything, 0)
    assert lora.held["states of the frozen layers"] == 4 * 32 * 100 * 10
    assert estimate(model, TuneSettings(cache_mb=3), 100).held["states of the frozen layers"] == 3 * MIB
    assert estimate(model, TuneSettings(micro_batch=1), 100).total < estimate(model, TuneSettings(), 100).total
