"""Migaki's PPO beside TRL 1.12's, in alternation on one machine: episodes per second, peak memory, reward against KL and seconds.

    python benchmarks/rlhf.py setup PEER_ENV                                   # the peer's own environment, once
    python benchmarks/rlhf.py run --peer ../shared/peers/trl_ppo.py --env PEER_ENV --placement default --stop none
    python benchmarks/rlhf.py run ... --episodes 160 --runs 1 --reward REWARD_DIR --seed 0 --json curve.json
    python benchmarks/rlhf.py shape 1b SHAPE_DIR                               # random weights, for speed on a GPU
    python benchmarks/rlhf.py migaki --model SHAPE_DIR --trunk nf4 --profile

Both sides take the same weights, prompts, answer length, batch (16), optimizer steps per round (one per epoch) and epochs (4), and the same
reward: a fresh scalar head, or with --reward a saved sequence-classification model. `--placement same` puts adapters on q and v of all
layers, as the peer does; `default` on all linear layers of the top third. `migaki --design joint` gives policy and critic one adapter, as
Hydra-RLHF's joint variant does (Santacroce et al. 2023), to be held against Migaki's own, an adapter for each. Both sides take a GPU where
there is one; what it has in use, of the driver, is then the peak of memory. `--profile` says for how much of a round's time kernels run.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from common import GPU_PEAK, alternate, bundled_model, compare

if TYPE_CHECKING:
    from tasks.rlhf.ppo import PPOTrainer

ROOT = Path(__file__).resolve().parent.parent
PEER_PACKAGES = ("trl==1.12.0", "transformers<5.20", "peft", "accelerate", "datasets", "gguf")
BATCH, EPOCHS, PEER_SCORE_CLIP = 16, 4, 1e9
SHAPES = {  # hidden, intermediate, layers, heads, heads of keys and values: of Llama 3.2 1B and Llama 2 7B
    "1b": (2048, 8192, 16, 32, 8),
    "7b": (4096, 11008, 32, 32, 32),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = options.add_subparsers(dest="command", required=True)
    commands.add_parser("setup").add_argument("env", type=Path)
    shaped = commands.add_parser("shape")
    shaped.add_argument("shape", choices=SHAPES)
    shaped.add_argument("folder", type=Path)
    shaped.add_argument("--tokenizer", type=Path, help="folder of a tokenizer (default: the bundled model's)")
    shaped.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    for name in ("run", "migaki"):
        side = commands.add_parser(name)
        side.add_argument("--model", type=Path, help="folder of a causal language model (default: the bundled one)")
        side.add_argument("--prompts", type=Path, help='one {"prompt": ...} per line (default: the instructions of examples/)')
        side.add_argument("--episodes", type=int, default=32)
        side.add_argument("--response-length", type=int, default=48)
        side.add_argument("--stop", choices=("none", "eos"), default="none")
        side.add_argument("--placement", choices=("same", "default"), default="default")
        side.add_argument("--reward", type=Path)
        side.add_argument("--seed", type=int, default=0)
        side.add_argument("--lr", type=float, default=1e-4, help="learning rate of policy and critic")
        side.add_argument("--critic-fraction", type=float, help="of Migaki's side (default: its own)")
        side.add_argument("--batch", type=int, default=BATCH, help="episodes of a round of Migaki's side; the peer's has 16")
        side.add_argument("--design", choices=("separate", "joint"), default="separate")
        side.add_argument("--trunk", choices=("float32", "bfloat16", "nf4"), default="float32", help="of Migaki's side")
        if name == "migaki":
            side.add_argument("--profile", action="store_true")
        if name == "run":
            side.add_argument("--peer", type=Path, required=True)
            side.add_argument("--env", type=Path, required=True)
            side.add_argument("--runs", type=int, default=3)
            side.add_argument("--json", type=Path)
    chosen = options.parse_args()
    if chosen.command in ("run", "migaki"):
        chosen.model, chosen.prompts = chosen.model or bundled_model(), chosen.prompts or example_prompts()
    {"setup": setup, "shape": shape, "run": run, "migaki": migaki}[chosen.command](chosen)


def setup(chosen: argparse.Namespace) -> None:
    """torch first and alone, pinned as Migaki's own: both sides compute with the same build."""
    import torch

    subprocess.run([sys.executable, "-m", "venv", str(chosen.env)], check=True)
    for packages in ([f"torch=={torch.__version__.partition('+')[0]}"], PEER_PACKAGES):
        subprocess.run([chosen.env / "bin" / "pip", "install", "--quiet", *packages], check=True)


def shape(chosen: argparse.Namespace) -> None:
    """A Llama of that shape with random weights and a real tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(chosen.tokenizer or bundled_model())
    tokenizer.save_pretrained(chosen.folder)
    hidden, intermediate, layers, heads, pairs = SHAPES[chosen.shape]
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=pairs, max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config).to(getattr(torch, chosen.dtype))
    model.save_pretrained(chosen.folder)
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")


def run(chosen: argparse.Namespace) -> None:
    """Both sides in turn, each in a process of its own; medians, and the ratios."""
    shared = ["--model", chosen.model, "--prompts", chosen.prompts, "--episodes", chosen.episodes, "--stop", chosen.stop]
    shared += [
        "--response-length",
        chosen.response_length,
        "--seed",
        chosen.seed,
        "--lr",
        chosen.lr,
        *(["--reward", chosen.reward] if chosen.reward else []),
    ]
    own = ["--placement", chosen.placement, "--design", chosen.design, "--batch", chosen.batch, "--trunk", chosen.trunk]
    own += [] if chosen.critic_fraction is None else ["--critic-fraction", chosen.critic_fraction]
    sides = {
        "peer": [chosen.env / "bin" / "python", chosen.peer, *shared],
        "migaki": [sys.executable, __file__, "migaki", *shared, *own],
    }
    found = alternate(sides, chosen.runs, ("episodes_per_s", "seconds", "peak_rss_mib", GPU_PEAK))
    memory = GPU_PEAK if GPU_PEAK in found["peer"][0] else "peak_rss_mib"
    about = f"placement {chosen.placement}, trunk {chosen.trunk}, stop {chosen.stop}, {chosen.runs} runs"
    print(f"{about}: {compare(found, 'episodes_per_s', memory)}")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


def example_prompts() -> Path:
    """The instructions of the example project, English and Japanese in turn, 48 to 90 tokens with the chat template."""
    import tempfile

    rows = [json.loads(line) for path in sorted((ROOT / "examples").glob("instructions*.jsonl")) for line in path.open(encoding="utf-8")]
    path = Path(tempfile.mkdtemp()) / "prompts.jsonl"
    lines = [json.dumps({"prompt": row.get("instruction") or row["prompt"]}, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def migaki(chosen: argparse.Namespace) -> None:
    """One run of Migaki's side: one line of JSON in the peer's form."""
    import torch

    from tasks.models.loader import load_model, load_tokenizer
    from tasks.models.trunk import split_layer
    from tasks.models.unmerged import load_unmerged
    from tasks.prompts.template import encode_prompt, end_ids
    from tasks.rlhf.critic import CriticStart
    from tasks.rlhf.guards import Guards
    from tasks.rlhf.participants import Participants
    from tasks.rlhf.ppo import PPOTrainer, run_ppo
    from tasks.rlhf.reward import RewardModel, SequenceRewardModel
    from tasks.rlhf.roles import Roles, scalar_head
    from tasks.rlhf.scoring import Scorer
    from tasks.rlhf.settings import PPOSettings

    device, tokenizer = "cuda" if torch.cuda.is_available() else "cpu", load_tokenizer(chosen.model)
    plain = chosen.trunk == "float32"
    model = load_model(chosen.model, device=device) if plain else load_unmerged(chosen.model, [], chosen.trunk, device)
    same = chosen.placement == "same"
    roles, targets = Roles(model, 0 if same else split_layer(model, 1 / 3)), "q_proj,v_proj" if same else "all-linear"
    if chosen.reward:
        reward = SequenceRewardModel.open(chosen.reward, tokenizer, device)
    else:
        roles.add("reward", 8, targets, 0)
        reward = RewardModel(roles, "reward", scalar_head(roles.hidden_size, 0))
    settings = PPOSettings(
        updates=chosen.episodes // chosen.batch, episodes=chosen.batch, epochs=EPOCHS, minibatches=1, answer_tokens=chosen.response_length,
        kl_coef=0.05, kl_limit=1e9, length_limit=1e9, distinct_limit=1, refusal_limit=1, copy_limit=1, missing_end_penalty=1.0,
        score_clip=PEER_SCORE_CLIP, learning_rate=chosen.lr, critic_learning_rate=chosen.lr, lora_targets=targets, seed=chosen.seed,
        **({} if chosen.critic_fraction is None else {"critic_fraction": chosen.critic_fraction}),
    )  # fmt: skip
    prompts = [json.loads(line)["prompt"] for line in chosen.prompts.open(encoding="utf-8")]
    encoded = [encode_prompt(tokenizer, [{"role": "user", "content": prompt}]) for prompt in prompts]
    torch.manual_seed(0)
    design = joint_trainer() if chosen.design == "joint" else PPOTrainer
    participants = Participants(roles, Scorer(reward), end_ids(tokenizer) if chosen.stop == "eos" else set())
    trainer = design(participants, CriticStart(reward, 8, targets), settings)
    if chosen.profile:
        profile(trainer, encoded[: chosen.batch])
        return
    inside = timed_inside(design)
    updates, start, learnt = [], time.perf_counter(), [0.0]

    def on_round(figures, *_: object) -> None:
        logged = figures.score - settings.missing_end_penalty * (1 - figures.finished)  # as the peer logs it
        updates.append([round(time.perf_counter() - start, 1), round(figures.kl, 4), round(logged, 4), round(figures.score, 4)])
        if figures.step == settings.updates:  # the round after it only measures
            learnt[0] = time.perf_counter() - start
            learnt.append(1 - inside[0] / learnt[0])

    run_ppo(trainer, encoded, on_round, Guards(settings, lambda ids: ""))
    result = {"episodes_per_s": round(chosen.episodes / learnt[0], 4), "seconds": round(learnt[0], 1), "outside_model": round(learnt[1], 4)}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"side": "migaki", **result, "peak_rss_mib": memory, "updates": updates}))


def profile(trainer: "PPOTrainer", prompts: list[list[int]]) -> None:
    """The time of each half of a round and torch's peak of memory; then, of a round that is watched, for how long kernels run and which take most."""
    import torch
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiling

    if not torch.cuda.is_available():
        sys.exit("--profile watches the kernels of a GPU, and there is none here")

    def measured(name: str, work: Callable[[], tuple]) -> tuple:
        torch.cuda.synchronize()
        with profiling(activities=[ProfilerActivity.CUDA]) as seen:  # of the GPU alone: watching the CPU would slow it down
            start = time.perf_counter()
            found = work()
            torch.cuda.synchronize()
            wall = time.perf_counter() - start
        kernels = [event for event in seen.key_averages() if event.self_device_time_total > 0]
        busy = sum(event.self_device_time_total for event in kernels) / 1e6
        print(
            json.dumps(
                {"half": name, "seconds": round(wall, 3), "kernel_seconds": round(busy, 3), "kernels": sum(e.count for e in kernels)}
            )
        )
        for event in sorted(kernels, key=lambda event: -event.self_device_time_total)[:6]:
            print(f"  {event.self_device_time_total / 1e6 / busy:5.1%} {event.count:6} x {event.key[:100]}")
        return found

    for step in (1, 2):  # the first loads kernels
        start = time.perf_counter()
        found = trainer.sample_round(step, prompts)
        torch.cuda.synchronize()
        sampled = time.perf_counter()
        trainer.learn(*found)
        torch.cuda.synchronize()
        learnt = time.perf_counter()
    peak = torch.cuda.max_memory_allocated() >> 20
    print(json.dumps({"sample_seconds": round(sampled - start, 3), "learn_seconds": round(learnt - sampled, 3), "peak_mib": peak}))
    experience, figures = measured("sample and score", lambda: trainer.sample_round(3, prompts))
    measured("learn", lambda: trainer.learn(experience, figures))


def joint_trainer() -> type:
    """PPO with one adapter for policy and critic: a pass over a micro-batch serves both, and the value loss (times 0.1, as the peer's) moves both."""
    import torch

    from tasks.models.likelihood import target_logprobs
    from tasks.rlhf import ppo
    from tasks.rlhf.critic import Critic
    from tasks.rlhf.losses import policy_loss, value_loss
    from tasks.rlhf.roles import POLICY, scalar_head

    class JointCritic(Critic):
        def states(self, trunk, mask):
            return trunk

        def values(self, states, batch):
            return self.head(self.roles.final(POLICY, states, batch.mask)[batch.predicts])[:, 0]

    class JointTrainer(ppo.PPOTrainer):
        def __init__(self, participants, critic, settings):
            super().__init__(participants, critic, settings)
            self.critic = JointCritic(self.roles, scalar_head(self.roles.hidden_size, settings.seed), 0)
            self.critic_optimizer = torch.optim.AdamW(
                self.critic.head.parameters(), lr=settings.critic_learning_rate, eps=1e-5, weight_decay=0.0
            )

        def _accumulate(self, experience, rows, tokens, figures, first):
            batch, states, _ = ppo._rows_of(experience, rows)
            inside = experience.mask[rows].bool()
            old, advantages = experience.logprobs[rows][inside], experience.advantages[rows][inside]
            final = self.roles.final(POLICY, states, batch.mask)[batch.predicts]
            logprobs = target_logprobs(self.roles.head, final, batch.targets, self.settings.temperature)
            loss, ratio, clipped = policy_loss(logprobs, old, advantages, self.settings.clip_ratio)
            values = self.critic.head(final)[:, 0]
            squared = value_loss(values, experience.values[rows][inside], experience.returns[rows][inside], self.settings.clip_value)
            ((loss.sum() + 0.1 * squared.sum()) / tokens).backward()
            if first:
                figures.first_ratio_error = float((ratio.detach() - 1).abs().max())
            approximate_kl = 0.5 * (logprobs - old).square()
            return torch.stack([part.detach().float().sum() / tokens for part in (loss, squared, clipped, approximate_kl)])

    return JointTrainer


def timed_inside(trainer: type) -> list[float]:
    """From now on, the seconds spent in decoding and in passes of the model, forward and backward, in a list of one."""
    import torch

    from tasks.rlhf import rollout

    total = [0.0]

    def timed(run):
        def call(*arguments, **named):
            start = time.perf_counter()
            try:
                return run(*arguments, **named)
            finally:
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                total[0] += time.perf_counter() - start

        return call

    for place, name in ((rollout, "sample"), (rollout, "_episodes"), (trainer, "_accumulate")):
        setattr(place, name, timed(getattr(place, name)))
    return total


if __name__ == "__main__":
    main()
