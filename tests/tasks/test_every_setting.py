"""Every setting of tune, reward, PPO and choose matters: changing it, where its description says that it counts, changes what comes out.

The tables name every field of the settings, so a new one fails here until it is shown to do something.
"""

import hashlib
from dataclasses import replace
from functools import cache

import pytest

from flows.catalogue.stages import STAGES
from tasks.data.records import save
from tasks.rlhf.guards import WINDOW, Guards
from tasks.rlhf.settings import ChooseSettings, PPOSettings, RewardSettings, TrunkSettings
from tasks.stages.spec import function
from tasks.training.settings import TuneSettings
from tests.helpers.align_project import FREE, PAIRS, SMALL, AlignProject, question

FAST = {"updates": 2, "learning_rate": 0.05}
LONG = {"updates": 9, "learning_rate": 0.05}
WATCHED = LONG | {"length_limit": 1e9, "refusal_limit": 1.0, "copy_limit": 1.0, "distinct_limit": 1.0}

# field: (another value, what else must be set for it to count)
PPO = {
    "algorithm": ("grpo", {}),
    "rule_rewards": (["tests.helpers.rules:exclaims"], {}),
    "learned_reward_weight": (0.5, {}),
    "group_size": (2, {"algorithm": "grpo"}),
    "updates": (3, {}),
    "episodes": (4, {}),
    "answer_tokens": (4, {}),
    "prompt_tokens": (8, {}),
    "temperature": (0.5, {}),
    "epochs": (2, {}),
    "minibatches": (2, {}),
    "learning_rate": (1e-3, {}),
    "critic_learning_rate": (1e-2, {}),
    "lora_r": (2, {}),
    "lora_targets": ("attention", {}),
    "kl_coef": (0.9, FAST),
    "kl_control": ("adaptive", FAST),
    "kl_target": (0.1, FAST | {"kl_control": "adaptive"}),
    "kl_horizon": (10, FAST | {"kl_control": "adaptive"}),
    "kl_estimator": ("k3", FAST),
    "kl_limit": (1e-4, LONG),
    "length_limit": (1e-6, WATCHED),
    "early_stop_kl": (1e-9, {"epochs": 3}),
    "gamma": (0.5, {}),
    "gae_lambda": (0.5, {}),
    "clip_ratio": (1e-4, {"epochs": 3}),
    "clip_value": (1e-4, {"epochs": 3, "critic_learning_rate": 0.05}),
    "score_clip": (0.1, {}),
    "missing_end_penalty": (3.0, {}),
    "whiten_rewards": (True, {}),
    "max_grad_norm": (0.01, {}),
    "seed": (1, {}),
}
REWARD = {
    "reward_top_fraction": (0.7, {}),
    "trunk": ("bfloat16", {}),
    "reward_epochs": (2.0, {}),
    "reward_learning_rate": (1e-2, {}),
    "reward_batch_pairs": (2, {}),
    "reward_lora_r": (2, {}),
    "reward_lora_targets": ("attention", {}),
    "reward_max_tokens": (16, {}),
    "reward_max_pairs": (8, {}),
    "reward_margin": (True, {}),
    "reward_cut_share": (1.0, {}),
    "reward_centering": (0.5, {}),
    "reward_normalise_prompts": (4, {}),
    "reward_answer_tokens": (3, {}),
    "reward_seed": (1, {}),
}
CHOOSE = {
    "rule_rewards": (["tests.helpers.rules:keeps_to_ascii"], {}),
    "learned_reward_weight": (0.5, {}),
    "answer_tokens": (4, {}),
    "prompt_tokens": (8, {}),
    "seed": (1, {}),
    "choose_prompts": (2, {}),
    "choose_temperature": (0.0, {}),
}
TUNE = {
    "method": ("full", {}),
    "top_fraction": (0.7, {}),
    "lora_r": (2, {}),
    "lora_alpha": (4.0, {}),
    "lora_dropout": (0.5, {}),
    "lora_targets": ("attention", {}),
    "rslora": (True, {}),
    "dora": (True, {}),
    "adapter_size": (8, {"method": "adapter"}),
    "virtual_tokens": (3, {"method": "prompt"}),
    "epochs": (2.0, {}),
    "learning_rate": (1e-2, {}),
    "schedule": ("linear", {"epochs": 4.0}),
    "warmup_share": (0.5, {}),
    "weight_decay": (0.9, {}),
    "max_grad_norm": (0.01, {}),
    "batch_size": (4, {}),
    "seed": (1, {}),
    "max_tokens": (11, {}),
    "max_rows": (8, {}),
    "learn": ("last", {}),
    "cuts": ("start", {"max_tokens": 32}),
}
# These decide about memory alone, and must not change the result.
MEMORY = {"micro_batch", "reward_micro_pairs", "cache_mb"}
# Needs more than the one adapted layer of the model here: shown in rlhf/test_ppo.py. Or a model of its own: shown in rlhf/test_separate.py.
DEEP = {"critic_fraction", "reward_model"}
# Need a model without a template, and one with thoughts: shown in training/test_task.py.
CHAT = {"template", "thinking"}
# The reward models' facts decide about these where there are any: rlhf/test_unpaired.py shows them where there are none.
TRUNK = set(TrunkSettings.model_fields)
# Tiny random models neither refuse nor copy: what these do is shown on the guards themselves.
GUARDED = {"distinct_limit": ("distinct_2", 0.7, 0.5), "refusal_limit": ("refused", 0.3, 0.5), "copy_limit": ("copied", 0.3, 0.5)}
BASES = {
    "align": SMALL | FREE,
    "reward": {"reward_batch_pairs": 4, "reward_epochs": 1.0, "reward_normalise_prompts": 8, "reward_answer_tokens": 6},
    "choose": {"answer_tokens": 6, "choose_prompts": 4},
    "tune": {"epochs": 1.0, "batch_size": 8},
}
TABLES = {"align": PPO, "reward": REWARD, "choose": CHOOSE, "tune": TUNE}
CASES = [(stage, name) for stage, table in TABLES.items() for name in table]


@pytest.fixture(scope="module")
def outcome(new_align_project):
    """What a stage makes of settings on a tiny model: a hash of its weights and of its figures."""
    align_project = new_align_project()
    with align_project.draft("dataset") as folder:
        for kind in ("instructions", "preferences"):
            save(folder / kind / "train.parquet", rows(align_project, kind, "train"))
            held_out = [replace(row, messages=question(100 + i)) for i, row in enumerate(rows(align_project, kind, "train")[:4])]
            save(folder / kind / "eval.parquet", held_out)
        align_project.dataset = align_project.commit(folder, {})
    aligned = align_project.align(updates=1)

    @cache
    def run(stage: str, items: tuple) -> str:
        settings = STAGES[stage].own_settings(**{name: list(value) if isinstance(value, tuple) else value for name, value in items})
        inputs = {"dataset": align_project.dataset, "tuned": align_project.tuned, "aligned": aligned, "reward": align_project.reward}
        with align_project.draft(STAGES[stage].kind) as folder:
            work = align_project.work(folder)
            record = function(STAGES[stage].body)(settings, inputs, work)
            digest = hashlib.sha256(repr([(m["name"], m["step"], m["value"]) for m in work._metrics]).encode())
            for file in sorted(folder.rglob("*.safetensors")):
                digest.update(file.read_bytes())
            for which in ("first", "second"):
                digest.update(repr(getattr(record, f"{which}_scale", None)).encode())
            digest.update(str(getattr(record, "ending", None)).encode())
            return digest.hexdigest()

    return lambda stage, settings: run(stage, tuple(sorted((k, tuple(v) if isinstance(v, list) else v) for k, v in settings.items())))


def rows(align_project: AlignProject, kind: str, split: str) -> list:
    from tasks.data.records import load_instructions

    if kind == "preferences":  # with margins, so that the setting that reads them has something to read
        longer = [replace(pair, id=f"l{pair.id}", rejected=pair.rejected * 3) for pair in PAIRS]  # some, for the length limit to leave out
        return [replace(pair, margin=0.5 * (i % 3)) for i, pair in enumerate([*PAIRS, *longer])]
    found = load_instructions(align_project.path(align_project.dataset), split)
    short = [replace(row, answer="yes, it is so" if i % 2 else "no") for i, row in enumerate(found)]
    earlier = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "It may be so."}]
    return [*short, *(replace(row, id=f"c{row.id}", messages=[*earlier, *row.messages]) for row in short[:4])]


def test_no_setting_is_left_out():
    assert set(PPO) | set(GUARDED) | MEMORY | DEEP | TRUNK >= set(PPOSettings.model_fields) and set(PPO) <= set(PPOSettings.model_fields)
    assert set(REWARD) | MEMORY >= set(RewardSettings.model_fields) and set(REWARD) <= set(RewardSettings.model_fields)
    assert set(CHOOSE) | DEEP >= set(ChooseSettings.model_fields) and set(CHOOSE) <= set(ChooseSettings.model_fields)
    assert set(TUNE) | MEMORY | CHAT >= set(TuneSettings.model_fields) and set(TUNE) <= set(TuneSettings.model_fields)


@pytest.mark.parametrize(("stage", "name"), CASES)
def test_every_setting_changes_what_comes_out(outcome, stage, name):
    value, context = TABLES[stage][name]
    base = BASES[stage] | {key: value for key, value in context.items() if key != name}
    assert outcome(stage, base) != outcome(stage, base | {name: value})


@pytest.mark.parametrize("name", GUARDED)
def test_the_limits_of_the_guards_decide_when_to_stop(name):
    figure, value, other = GUARDED[name]
    start = {"kl": 0.0, "length": 9.0, "distinct_2": 1.0, "refused": 0.0, "copied": 0.0}
    stopped = {}
    for limit in (getattr(PPOSettings(), name), other):
        guards = Guards(PPOSettings(**{name: limit}), str, [start] * WINDOW + [start | {figure: value}] * (WINDOW - 1))
        stopped[limit] = guards.reason_to_stop(start | {figure: value}) is not None
    assert list(stopped.values()) == [True, False]
