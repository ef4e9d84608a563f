"""What PPO gains against the episodes it takes, on the models and data of a finished run.

    MIGAKI_HOME=.migaki python benchmarks/align_pilot.py --set kl_coef=0.1 --set seed=1 --json pilot.json

Runs PPO from the newest reward models of that home with the given settings of `align`, and prints, per window of rounds: score of the
sampled answers under the first and the second reward model, KL, length, distinct-2; then the held-out answer loss of tuned and aligned.
Nothing is written to the home.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import torch

from flows.catalogue.stages import STAGES
from flows.running.inputs import newest_inputs
from flows.running.parameters import BUNDLED_MODEL, parse_assignment
from storage.artifacts import ArtifactStore
from storage.home import Home
from tasks.data.records import load_instructions, load_preferences
from tasks.inference.sampling import SamplingParams, sample
from tasks.models.batching import Example
from tasks.models.likelihood import mean_per_character, score_examples
from tasks.models.opening import open_model
from tasks.models.reference import resolve
from tasks.prompts.template import encode_prompt, end_ids
from tasks.rlhf.critic import CriticStart
from tasks.rlhf.guards import Guards, alarm
from tasks.rlhf.participants import Participants
from tasks.rlhf.ppo import PPOTrainer, run_ppo
from tasks.rlhf.prompts import training_prompts
from tasks.rlhf.reward import FACTS, open_reward_model
from tasks.rlhf.reward import score_examples as score_rewards
from tasks.rlhf.roles import POLICY, Roles
from tasks.rlhf.rounds import Progress
from tasks.rlhf.scoring import Scorer
from tasks.rlhf.settings import PPOSettings
from tasks.stages.work import Context, Work
from tasks.statistics import Interval, mean_interval
from tasks.training.examples import Limit, encode_instructions

FIGURES = ("score", "second_score", "kl", "length", "finished", "distinct_2", "first_ratio_error")


def opened(home: Home, model: str) -> tuple[Work, dict]:
    """A work that reads the home and has nowhere to write, and the newest inputs of align."""
    context = Context(home=home, model=model, embedder="", log=print)
    return Work(STAGES["align"], Path("pilot"), context, {"model": resolve(model, home, print)}), newest_inputs(home, STAGES["align"])


def loss(model, tokenizer, rows) -> float:
    return mean_per_character(score_examples(model, rows))


def reward_gains(roles, rewards, prompts, settings, tokenizer) -> dict[str, Interval]:
    """Scores of both reward models and KL on answers to the same prompts by the same seed, aligned less tuned, with 95 % intervals over prompts."""
    found: dict[str, list[float]] = {}
    for role, sign in ((None, -1.0), (POLICY, 1.0)):
        with roles.merged(POLICY) if role else roles.acting(None):
            answers = sample(roles.model, prompts, SamplingParams(settings.answer_tokens, end_ids(tokenizer), seed=7), batch=32)
        examples = [Example([*prompt, *answer.ids], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
        for name, reward in zip(("first", "second"), rewards, strict=True):
            found.setdefault(name, [0.0] * len(prompts))
            found[name] = [sum_ + sign * score for sum_, score in zip(found[name], score_rewards(reward, examples), strict=True)]
    return {name: mean_interval(values, 2000) for name, values in found.items()}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--set", action="append", default=[], metavar="field=value", help="a setting of align's PPO (again and again)")
    options.add_argument("--model", default=BUNDLED_MODEL)
    options.add_argument("--json", type=Path, help="write the rounds here")
    chosen = options.parse_args()
    settings = PPOSettings.build("align", dict(parse_assignment(f"align.{text}")[1:] for text in chosen.set))
    home = Home.current()
    work, inputs = opened(home, chosen.model)
    folder, rewards = (ArtifactStore(home).path(inputs[role]) for role in ("dataset", "reward"))
    model, tokenizer = open_model(work.model.path, work.trained(inputs["tuned"]), work.adapter, work.device)
    facts = json.loads((rewards / FACTS).read_text(encoding="utf-8"))
    roles = Roles(model, facts["layer"])
    first, second = (open_reward_model(rewards, roles, name, which) for name, which in (("reward", "first"), ("second", "second")))
    prompts, _ = training_prompts(folder, tokenizer, settings.prompt_tokens, settings.episodes)
    participants = Participants(roles, Scorer(first), end_ids(tokenizer), second)
    trainer = PPOTrainer(participants, CriticStart(first, facts["r"], facts["targets"]), settings)
    held_out = encode_instructions(tokenizer, load_instructions(folder, "eval"), Limit(256, setting="pilot")).examples
    with roles.acting(None):
        before = loss(model, tokenizer, held_out)
    rounds, start = [], time.perf_counter()

    def on_round(figures, *_: object) -> None:
        rounds.append({name: getattr(figures, name) for name in FIGURES} | {"seconds": time.perf_counter() - start})
        print(" ".join(f"{name} {value:.3f}" for name, value in rounds[-1].items()), flush=True)

    guards = Guards(settings, lambda ids: tokenizer.decode(ids, skip_special_tokens=True))
    policy, ending = run_ppo(trainer, prompts, on_round, guards, Progress())
    roles.load_state(POLICY, policy)
    with roles.acting(POLICY):
        after = loss(model, tokenizer, held_out)
    asked = [encode_prompt(tokenizer, row.messages) for kind in (load_instructions, load_preferences) for row in kind(folder, "eval")]
    gains = reward_gains(roles, (first, second), [prompt for prompt in asked if len(prompt) <= settings.prompt_tokens], settings, tokenizer)
    print(f"{ending}; {alarm([r['score'] for r in rounds], [r['second_score'] for r in rounds]) or 'no alarm'}")
    print(f"held-out answer loss per character: tuned {before:.4f}, aligned {after:.4f} ({after / before - 1:+.1%})")
    for name, gain in gains.items():
        print(f"{name}: aligned - tuned on {len(asked)} held-out prompts {gain.value:+.3f} ({gain.low:.3f} to {gain.high:.3f})")
    if chosen.json:
        chosen.json.write_text(
            json.dumps(
                {
                    "settings": settings.model_dump(),
                    "rounds": rounds,
                    "loss": [before, after],
                    "ending": ending,
                    "gains": {name: asdict(gain) for name, gain in gains.items()},
                }
            )
        )


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
