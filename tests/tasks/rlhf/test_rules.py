"""Rewards by rule: where they are found, how they are mixed with the learned reward, and what a bad one is told."""

import json

import pytest
import torch

from flows.catalogue.stages import STAGES
from storage.catalog import Catalog
from storage.registry import register
from tasks.errors import MigakiError
from tasks.models.batching import Example, collate
from tasks.rlhf.reward import RewardModel
from tasks.rlhf.roles import Roles, scalar_head
from tasks.rlhf.rules import Rule, load_rules
from tasks.rlhf.scoring import Scorer
from tasks.rlhf.settings import PPOSettings
from tasks.stages.keys import Ingredients
from tasks.stages.own_code import own_sources
from tests.helpers.models import tiny_llama, tiny_tokenizer

RULES = """
from dataclasses import dataclass

@dataclass
class Weight:
    of: "float" = 2.0

def length(prompts, answers):
    return [len(answer) for answer in answers]

def polite(prompts, answers):
    return [Weight().of if "please" in answer else 0 for answer in answers]

def raises(prompts, answers):
    return [1 / len(answer) for answer in answers]

def together(prompts, answers):
    if len(answers) > 1:
        raise RuntimeError("too many")
    return [0]

def short(prompts, answers):
    return [0.0] * (len(answers) - 1)

def nothing(prompts, answers):
    pass

def nan(prompts, answers):
    return [float("nan") if answer == "b" else 1.0 for answer in answers]

def infinite(prompts, answers):
    return [-float("inf") for _ in answers]

def words(prompts, answers):
    return ["much" for _ in answers]

def tensor(prompts, answers):
    import torch
    return torch.arange(len(answers))

LIMIT = 3
"""


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """The file of rules in the working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my_rules.py"
    path.write_text(RULES)
    return path


def test_names_weights_and_values(rules):
    found = load_rules(["my_rules:length", "my_rules:polite*-0.5", "my_rules:tensor*2"])
    assert [(rule.name, rule.weight) for rule in found] == [("my_rules:length", 1.0), ("my_rules:polite", -0.5), ("my_rules:tensor", 2.0)]
    assert [rule(["p", "q"], ["yes please", "no"]) for rule in found] == [[10.0, 2.0], [2.0, 0.0], [0.0, 1.0]]


def test_rules_stand_in_packages_too_and_the_working_folder_comes_first(rules, tmp_path):
    package = tmp_path / "house"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "common.py").write_text("BONUS = 7\n")
    (package / "style.py").write_text("from .common import BONUS\ndef flat(prompts, answers):\n    return [BONUS for _ in answers]\n")
    (tmp_path / "colorsys.py").write_text("def flat(prompts, answers):\n    return [1 for _ in answers]\n")
    assert [rule(["p"], ["a"]) for rule in load_rules(["house.style:flat", "colorsys:flat"])] == [[7.0], [1.0]]
    assert load_rules(["textwrap:dedent"])[0].name == "textwrap:dedent"  # found, though no rule


def test_a_changed_source_counts_at_once_and_makes_another_key(rules):
    settings = PPOSettings(rule_rewards=["my_rules:length"])
    key = lambda: Ingredients.of(STAGES["align"], settings, {}, {}).key
    assert load_rules(settings.rule_rewards)[0](["p"], ["ab"]) == [2.0]
    before = key()
    assert before == key() != Ingredients.of(STAGES["align"], PPOSettings(), {}, {}).key
    rules.write_text(RULES.replace("len(answer) for", "9*len('') for"))  # of the same size, in the same second
    assert load_rules(settings.rule_rewards)[0](["p"], ["ab"]) == [0.0] and key() != before
    assert own_sources([], "align.rule_rewards") == {}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("your_rules:length", r"'your_rules'.*no your_rules\.py in .*where the command runs.*installed packages"),
        ("my_rules.inner:length", r"'my_rules\.inner'"),
        ("math:sin", r"'math'.*no math\.py"),
        ("my_rules:lenght", r"no function 'lenght'; it has .*length, polite"),
        ("my_rules:LIMIT", r"no function 'LIMIT'"),
        ("broken:length", r"'broken' of align\.rule_rewards cannot be imported: NameError: .*undefined"),
    ],
)
def test_what_is_missing_is_named(rules, spec, words):
    (rules.parent / "broken.py").write_text("undefined\n")
    with pytest.raises(MigakiError, match=words):
        load_rules([spec])


def test_a_missing_module_is_told_before_anything_runs(rules):
    with pytest.raises(MigakiError, match="your_rules"):
        Ingredients.of(STAGES["align"], PPOSettings(rule_rewards=["your_rules:length"]), {}, {})
    with pytest.raises(MigakiError, match="'my_rules:length' twice"):
        load_rules(["my_rules:length", "my_rules:length*2"])


@pytest.mark.parametrize(
    "spec", ["polite", "my_rules:", "my_rules.polite", "my_rules:polite*", "my_rules:polite*x", "my rules:polite", "a:b:c"]
)
def test_a_malformed_name_is_refused_with_the_form(spec):
    with pytest.raises(MigakiError, match=r"align\.rule_rewards = .*module:function\*weight"):
        PPOSettings.build("align", {"rule_rewards": [spec]})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", r"'my_rules:raises'.*ZeroDivisionError: .*row 2, whose answer is ''"),
        ("together", r"'my_rules:together'.*RuntimeError: too many, on 3 answers together"),
        ("short", r"'my_rules:short'.*returned 2 values for 3 answers"),
        ("nothing", r"'my_rules:nothing'.*TypeError"),
        ("nan", r"'my_rules:nan'.*gave nan to row 1, whose answer is 'b'; accepted are finite numbers"),
        ("infinite", r"'my_rules:infinite'.*gave -inf to row 0"),
        ("words", r"'my_rules:words'.*gave 'much' to row 0"),
    ],
)
def test_a_bad_rule_is_named_with_the_row(rules, name, words):
    with pytest.raises(MigakiError, match=words):
        load_rules([f"my_rules:{name}"])[0](["p", "q", "r"], ["a", "b", ""])


def test_scores_are_mixed_by_weight_from_the_texts_of_the_rollouts():
    asked = []
    rule = Rule("m:f", -0.5, lambda prompts, answers: asked.append((prompts, answers)) or [3.0, 5.0])
    roles, tokenizer = Roles(tiny_llama(layers=3), 2), tiny_tokenizer()
    roles.add("reward", 2, "attention", 0)
    reward = RewardModel(roles, "reward", scalar_head(32, 0), mean=0.1, std=0.5)
    examples = [
        Example(tokenizer("<|user|>hi<|assistant|>yes<|end|>")["input_ids"], 4),
        Example(tokenizer("<|user|>why<|assistant|>no")["input_ids"], 5),
    ]
    batch = collate(examples, [0, 1], 256)
    total, parts = Scorer(reward, [rule], 2.0, tokenizer).score(batch)
    assert asked == [(["<|user|>hi<|assistant|>", "<|user|>why<|assistant|>"], ["yes", "no"])]
    torch.testing.assert_close(total, 2 * reward.score(batch) - 0.5 * torch.tensor([3.0, 5.0]))
    assert list(parts) == ["learned", "m:f"] and torch.equal(parts["learned"], reward.score(batch))
    alone, none = Scorer(reward).score(batch)
    assert torch.equal(alone, reward.score(batch)) and none == {}
    for rules in ([], [Rule("m:f", 0.0, len)]):
        with pytest.raises(MigakiError, match=r"align\.learned_reward_weight = 0.*no reward"):
            Scorer(reward, rules, 0.0, tokenizer)


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
def test_every_algorithm_scores_by_rule_and_records_the_parts(rules, algorithm, align_project):
    made = align_project.align(algorithm=algorithm, rule_rewards=["my_rules:length*0.5"], updates=1)
    register(align_project.home, made)
    rows = Catalog.of(align_project.home).query("SELECT answer, score, parts FROM rollouts")
    assert len(rows) == 16
    for row in rows:
        parts = json.loads(row["parts"])
        assert parts["my_rules:length"] == len(row["answer"])
        assert row["score"] == pytest.approx(parts["learned"] + 0.5 * parts["my_rules:length"], abs=1e-5)
    assert align_project.metric(made, "align.reward.my_rules:length")[0] == pytest.approx(sum(len(row["answer"]) for row in rows[:8]) / 8)
    with pytest.raises(MigakiError, match=r"my_rules:short.*returned 7 values for 8"):
        align_project.align(algorithm=algorithm, rule_rewards=["my_rules:short"])
