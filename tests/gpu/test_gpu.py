"""What a GPU must give: the whole chain, PPO on every kind of trunk within the memory said, and answers that are those of the CPU."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from flows.serving.engine import open_engine
from storage.catalog import Catalog
from storage.home import Home
from tasks.chatbot.events import Ended
from tasks.inference.backend import Sampling
from tasks.inference.batching import BatchLimits
from tasks.inference.local import LocalModel
from tasks.inference.sampling import SamplingParams, sample
from tasks.models.loader import load_model, load_tokenizer
from tasks.models.memory import MIB
from tasks.models.trunk import split_layer
from tasks.models.unmerged import load_unmerged
from tasks.rlhf.critic import CriticStart
from tasks.rlhf.estimate import estimate
from tasks.rlhf.guards import Guards
from tasks.rlhf.participants import Participants
from tasks.rlhf.ppo import PPOTrainer, run_ppo
from tasks.rlhf.reward import RewardModel
from tasks.rlhf.roles import Roles, scalar_head
from tasks.rlhf.scoring import Scorer
from tasks.rlhf.settings import AlignSettings, PPOSettings
from tests.helpers.command import migaki
from tests.helpers.models import save_tiny, tiny_llama

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(300), pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]
CHAIN = ["prepare", "safety", "tune", "reward", "align", "choose", "quantize", "index", "calibrate", "answering", "evaluate"]


@pytest.fixture(scope="module")
def place(small_project, tmp_path_factory):
    """(home, options, answer) of a finished run."""
    home, options = tmp_path_factory.mktemp("gpu") / "home", [*small_project.options, "--set", "run.device=cuda"]
    return home, options, migaki(home, "retrain", *options)


def test_the_whole_chain(place):
    home, options, answer = place
    assert [stage["stage"] for stage in answer["stages"]] == CHAIN
    assert all(stage["status"] == "completed" for stage in answer["stages"])
    again = migaki(home, "retrain", *options)
    assert all(stage["status"] == "reused" for stage in again["stages"])


@pytest.mark.parametrize("trunk", ["nf4", "bfloat16"])
def test_the_chain_on_a_trunk_in_fewer_bits(place, trunk):
    home, options, _ = place
    answer = migaki(home, "retrain", *options, "--set", f"align.trunk={trunk}")
    assert [stage["status"] for stage in answer["stages"] if stage["stage"] in ("reward", "align")] == ["completed"] * 2


def answered(home: Home, artifact: str | None) -> tuple[str, str]:
    """(precision, reason of the end) of an answer of a model without documents."""
    opened = open_engine(home, artifact, {"chat": {"max_new_tokens": 5, "temperature": 0.0, "chunks": 0, "max_calls": 0}})
    assert opened.engine.backend.model.device.type == "cuda"
    ended = [event for event in opened.engine.answer(opened.engine.conversation(), "How heavy is it?") if isinstance(event, Ended)]
    opened.close()
    return opened.about.precision, ended[0].turn.finish


def test_the_champion_answers_there(place, monkeypatch):
    monkeypatch.setenv("MIGAKI_HOME", str(place[0]))
    assert answered(Home(place[0]), None)[1] in ("length", "stop")


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_quantized_models_answer_there(place, monkeypatch, precision):
    home, options, _ = place
    monkeypatch.setenv("MIGAKI_HOME", str(home))
    migaki(home, "retrain", *options, "--set", f"quantize.pick={precision}", "--set", "quantize.max_loss=9")
    newest = "SELECT artifact_id FROM artifacts WHERE stage = 'quantize' ORDER BY created DESC LIMIT 1"
    assert answered(Home(home), Catalog.of(Home(home)).query(newest)[0]["artifact_id"])[0] == precision


def trainer(model, **settings) -> PPOTrainer:
    roles = Roles(model, split_layer(model, 1 / 3))
    roles.add("reward", 8, "all-linear", 0)
    chosen = PPOSettings(
        **{"updates": 3, "episodes": 8, "answer_tokens": 12, "learning_rate": 0.01, "length_limit": 99, "distinct_limit": 1} | settings
    )
    reward = RewardModel(roles, "reward", scalar_head(roles.hidden_size, 0))
    return PPOTrainer(Participants(roles, Scorer(reward), {63}), CriticStart(reward, 8, "all-linear"), chosen)


@pytest.mark.parametrize(("trunk", "off"), [("float32", 1e-5), ("bfloat16", 0.05), ("nf4", 0.05)])
def test_ppo_learns_and_its_first_ratio_is_one(tmp_path, trunk, off):
    tiny_llama(layers=3, hidden=64).save_pretrained(tmp_path)
    own = trainer(load_model(tmp_path, device="cuda") if trunk == "float32" else load_unmerged(tmp_path, [], trunk, "cuda"))
    rounds = []
    policy, ending = run_ppo(
        own, [[i, i + 1, i + 2] for i in range(8)], lambda figures, *_: rounds.append(figures), Guards(own.settings, str)
    )
    assert ending == "all updates done" and all(weight.is_cuda for weight in policy.values())
    assert max(figures.first_ratio_error for figures in rounds) < off
    assert any(bool(weight.any()) for name, weight in policy.items() if "lora_B" in name)


def test_a_run_goes_on_where_it_was(tmp_path):
    tiny_llama(layers=3, hidden=64).save_pretrained(tmp_path)
    first, second = (trainer(load_model(tmp_path, device="cuda")) for _ in range(2))
    prompts = [[i, i + 1, i + 2] for i in range(8)]
    first.learn(*first.sample_round(1, prompts))
    torch.save(first.state(), tmp_path / "state.pt")
    second.load_state(torch.load(tmp_path / "state.pt", map_location="cuda", weights_only=True))
    (_, went_on), (_, other) = first.sample_round(2, prompts), second.sample_round(2, prompts)
    assert other.score == pytest.approx(went_on.score, abs=1e-5) and other.kl == pytest.approx(went_on.kl, abs=1e-4)


@pytest.mark.parametrize("trunk", ["float32", "bfloat16"])
@pytest.mark.parametrize("change", [{"micro_batch": 2}, {"micro_batch": 8}, {"answer_tokens": 96}])
def test_the_memory_is_what_was_said(tmp_path, trunk, change):
    model = tiny_llama(vocab=49152, layers=12, hidden=768).to("cuda", getattr(torch, trunk))
    settings = AlignSettings(**{"epochs": 1, "minibatches": 1, "trunk": trunk} | change)
    said = estimate(model, settings, 120, "cuda").total
    torch.cuda.reset_peak_memory_stats()
    own = trainer(model, **{name: getattr(settings, name) for name in PPOSettings.model_fields})
    own.roles.add("second", 8, "all-linear", 0)
    own.learn(*own.sample_round(1, [[(37 * row + 11 * i) % 40000 for i in range(120)] for row in range(settings.episodes)]))
    measured = torch.cuda.max_memory_allocated()
    print(f"{trunk} {change}: said {said / MIB:.0f} MiB, measured {measured / MIB:.0f} MiB")
    assert measured < said < 2 * measured


def test_a_gpu_says_what_a_cpu_says(tmp_path):
    folder = save_tiny(tmp_path, "llama", hidden=64, layers=3)
    prompts = [[i + j for j in range(3 + i)] for i in range(6)]
    how = SamplingParams(max_new_tokens=12, end_ids={256}, seed=3)
    here, there = (sample(load_model(folder, device=device), prompts, how) for device in ("cpu", "cuda"))
    assert [answer.ids for answer in here] == [answer.ids for answer in there]
    questions = [[{"role": "user", "content": f"Question {i} of the test" * (i + 1)}] for i in range(6)]
    said = []
    for device in ("cpu", "cuda"):
        backend = LocalModel(load_model(folder, device=device), load_tokenizer(folder), "tiny", limits=BatchLimits(chunk=64))
        assert backend.batched

        def answer(messages, backend=backend):
            return "".join(
                delta.text for delta in backend.stream(messages, Sampling(max_new_tokens=12, temperature=0.0), threading.Event())
            )

        with ThreadPoolExecutor(6) as pool:
            said.append([*pool.map(answer, questions), *backend.choose(questions[0], ["yes", "no"])])
        said[-1].append(
            json.loads(backend.complete_json(questions[1], {"type": "object", "properties": {"a": {"type": "integer"}}}, "", 20))
        )
        backend.close()
    assert said[0][:6] == said[1][:6] and said[0][6:8] == pytest.approx(said[1][6:8], abs=1e-3)
