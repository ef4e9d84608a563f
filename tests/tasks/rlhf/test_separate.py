"""A reward model from elsewhere: a sequence classifier in place of the first of Migaki's."""

import pytest
import torch
from transformers import LlamaForSequenceClassification

from tasks.errors import MigakiError
from tasks.models.batching import Example, collate
from tasks.rlhf.fingerprint import named_rewards
from tasks.rlhf.reward import SequenceRewardModel
from tasks.rlhf.settings import PPOSettings
from tests.helpers.models import tiny_llama, tiny_tokenizer


def save_classifier(folder, seed=0, labels=1, tokenizer=None):
    config = tiny_llama().config
    config.num_labels, config.pad_token_id, config.architectures = labels, 0, None
    torch.manual_seed(seed)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    (tokenizer or tiny_tokenizer()).save_pretrained(folder)
    return folder


def test_it_reads_the_last_real_token(tmp_path):
    reward = SequenceRewardModel.open(save_classifier(tmp_path))
    long, short = Example([5, 6, 7, 8, 9, 10], 2), Example([5, 6, 7], 2)
    together = reward.score(collate([long, short], [0, 1], 0))
    alone = torch.cat([reward.score(collate([example], [0], 0)) for example in (long, short)])
    torch.testing.assert_close(together, alone)
    assert together[0] != together[1]


def test_align_learns_from_it_and_normalises_it(align_project, tmp_path):
    own = align_project.align()
    ref = align_project.align(reward_model=str(save_classifier(tmp_path / "classifier")))
    assert not torch.equal(align_project.logits(own), align_project.logits(ref))
    assert ref.meta["reward_model"]["std"] > 0
    scores = [row["score"] for row in align_project.table(ref, "rollouts")]
    assert all(abs(score) < 6 for score in scores) and max(scores) > 0 > min(scores)


def test_another_model_in_the_same_folder_makes_another_artifact(tmp_path, monkeypatch):
    monkeypatch.setenv("MIGAKI_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    settings = PPOSettings(reward_model=str(save_classifier(tmp_path / "classifier")))
    before = named_rewards(settings)
    save_classifier(tmp_path / "classifier", seed=1)
    assert named_rewards(settings) != before and before["reward_model"]


def test_what_cannot_score_the_policy_is_refused(tmp_path):
    tokenizer = tiny_tokenizer()
    other = tiny_tokenizer()
    other.add_tokens(["<one more>"])
    with pytest.raises(MigakiError, match=r"'other' has another tokenizer \(\d+ tokens\) than the policy"):
        SequenceRewardModel.open(save_classifier(tmp_path / "other", tokenizer=other), tokenizer)
    with pytest.raises(MigakiError, match="'two' has 2 labels"):
        SequenceRewardModel.open(save_classifier(tmp_path / "two", labels=2), tokenizer)
    tiny_llama().save_pretrained(tmp_path / "speaker")
    with pytest.raises(MigakiError, match="'speaker' is LlamaForCausalLM; accepted is a sequence classifier"):
        SequenceRewardModel.open(tmp_path / "speaker", tokenizer)
    with pytest.raises(MigakiError, match=r"nowhere.*no config\.json"):
        named_rewards(PPOSettings(reward_model=str(tmp_path / "nowhere")))
