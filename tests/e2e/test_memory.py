"""What training and RLHF are said to take is what they take, on the bundled model."""

import json
import subprocess
import sys

import pytest

from flows.running.parameters import BUNDLED_MODEL
from storage.home import Home
from tasks.models.memory import MIB, model_of_shapes
from tasks.models.reference import resolve
from tasks.rlhf.estimate import estimate
from tasks.rlhf.settings import AlignSettings
from tasks.training import estimate as training
from tasks.training.settings import TuneSettings
from tests import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
PROMPT, ROW = 120, 256

# One round of PPO in a process of its own, whose peak is its own too; prints MiB.
ROUND = r"""
import json, re, sys
from pathlib import Path
from tasks.models.loader import load_model
from tasks.models.trunk import split_layer
from tasks.rlhf.critic import CriticStart
from tasks.rlhf.participants import Participants
from tasks.rlhf.ppo import PPOTrainer
from tasks.rlhf.reward import RewardModel
from tasks.rlhf.roles import Roles, scalar_head
from tasks.rlhf.scoring import Scorer
from tasks.rlhf.settings import AlignSettings, PPOSettings

settings = AlignSettings(**json.loads(sys.argv[2]))
model = load_model(Path(sys.argv[1]))
roles = Roles(model, split_layer(model, settings.reward_top_fraction))
first, second = (RewardModel(roles, role, scalar_head(roles.hidden_size, 0)) for role in ("reward", "second"))
for role in ("reward", "second"):
    roles.add(role, settings.reward_lora_r, settings.reward_lora_targets, 0)
own = PPOSettings(**{name: getattr(settings, name) for name in PPOSettings.model_fields})
critic = CriticStart(first, settings.reward_lora_r, settings.reward_lora_targets)
trainer = PPOTrainer(Participants(roles, Scorer(first), set(), second), critic, own)
prompts = [[1000 + (37 * row + 11 * i) % 40000 for i in range(int(sys.argv[3]))] for row in range(settings.episodes)]
best = roles.state("default")
trainer.learn(*trainer.sample_round(1, prompts))
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024)  # ru_maxrss would begin with the parent's
"""


@pytest.mark.parametrize("change", [{"micro_batch": 2}, {"micro_batch": 8}, {"micro_batch": 4, "answer_tokens": 96}])
def test_the_estimate_is_within_15_percent(change):
    folder = resolve(BUNDLED_MODEL, Home.current()).path
    settings = AlignSettings(**{"epochs": 1, "minibatches": 1} | change)
    said = estimate(model_of_shapes(folder), settings, PROMPT).total / MIB
    command = [sys.executable, "-c", ROUND, str(folder), json.dumps(settings.model_dump()), str(PROMPT)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    measured = float(done.stdout.split()[-1])
    print(f"{change}: said {said:.0f} MiB, measured {measured:.0f} MiB")
    assert said == pytest.approx(measured, rel=0.15)


# The stage tune without its data: two steps, and the loss after; prints MiB.
STEPS = r"""
import json, re, sys
from pathlib import Path
from tasks.models.batching import Example
from tasks.models.likelihood import score_examples
from tasks.models.loader import load_model
from tasks.training.loop import train
from tasks.training.methods import make_trainable
from tasks.training.settings import TuneSettings

settings = TuneSettings(**json.loads(sys.argv[2]))
rows = [Example([1000 + (37 * row + 11 * i) % 40000 for i in range(settings.max_tokens)], 20) for row in range(16)]
trainable = make_trainable(load_model(Path(sys.argv[1])), settings)
train(trainable, rows, settings, lambda step, loss: None)
score_examples(trainable.model, rows, final_states=trainable.final_states(rows, settings.cache_mb))
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


@pytest.mark.parametrize("change", [{}, {"micro_batch": 8}, {"method": "full", "micro_batch": 2}])
def test_the_estimate_of_tune_is_within_15_percent(change):
    folder = resolve(BUNDLED_MODEL, Home.current()).path
    settings = TuneSettings(**{"epochs": 1.0, "max_tokens": ROW} | change)
    said = training.estimate(model_of_shapes(folder), settings, ROW, 16).total / MIB
    command = [sys.executable, "-c", STEPS, str(folder), json.dumps(settings.model_dump())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    measured = float(done.stdout.split()[-1])
    print(f"{change}: said {said:.0f} MiB, measured {measured:.0f} MiB")
    assert said == pytest.approx(measured, rel=0.15)
