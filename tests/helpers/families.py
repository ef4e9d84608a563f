"""Takes a tiny random model of a family from its own folder through tune, reward, align and quantize to chat, and holds every step against
transformers' own forward (`tests/helpers/own_forward.py`)."""

import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from flows.serving.engine import load
from storage.artifacts import ArtifactRef, ArtifactStore
from storage.kinds import Model
from tasks.chatbot.settings import ChatSettings
from tasks.data.records import Feedback, Instruction, Preference, load_instructions, save
from tasks.errors import MigakiError
from tasks.inference.backend import Sampling
from tasks.inference.local import LocalModel
from tasks.inference.request import Request
from tasks.inference.rows import Row
from tasks.inference.sampling import SamplingParams, sample
from tasks.models.loader import load_model, load_tokenizer
from tasks.models.opening import open_model
from tasks.prompts.template import encode_prompt, stop_ids
from tasks.quantization.settings import QuantizeSettings
from tasks.rlhf.settings import PPOSettings, RewardSettings
from tasks.text.messages import Message
from tasks.training.settings import TuneSettings
from tests.helpers.align_project import FREE, SMALL
from tests.helpers.chat_templates import TEMPLATES
from tests.helpers.heads import SETTINGS, tiny_of
from tests.helpers.own_forward import NEW_TOKENS, equal_tokens, generate, own_greedy, own_loss, plain
from tests.helpers.tokenizers import trained
from tests.helpers.training_project import TrainingProject

TOLERANCE = 1e-4  # nats a token
WINDOW = 48  # tokens that sliding attention sees: fewer than a conversation has, and more than a pair, which reward models must see whole
STAGES = ("tune", "align", "quantize", "chat")


@dataclass(frozen=True)
class Family:
    """A `model_type` of transformers, what its tokenizers are like, and the chat template that its models come with; "" is none."""

    kind: str
    template: str = ""
    tokenizer: str = "bytes"
    named: str = "alpaca"  # the template that tuning teaches a model without one

    def settings(self) -> dict[str, Any]:
        """Of a model that is 64 wide, as quantization to 4 bits wants it."""
        chosen = {"hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 512} | SETTINGS[self.kind]
        wider = {"head_dim": 16, "ffn_dim": 128, "word_embed_proj_dim": 64, "moe_intermediate_size": 64, "sliding_window": WINDOW}
        return {name: wider[name] if value and name in wider else value for name, value in chosen.items()}


FAMILIES = {
    "Llama": Family("llama", "llama3"),
    "Qwen 2": Family("qwen2", "qwen2.5"),
    "Qwen 3": Family("qwen3", "qwen3"),
    "Mistral": Family("mistral", "mistral", "metaspace"),
    "Gemma": Family("gemma", "gemma", "metaspace"),
    "Gemma 2": Family("gemma2", "gemma", "metaspace"),
    "Gemma 3": Family("gemma3_text", "gemma", "metaspace"),
    "Phi-2": Family("phi"),
    "Phi-3": Family("phi3", "phi3", "metaspace"),
    "GPT-2": Family("gpt2"),
    "GPT-NeoX": Family("gpt_neox", named="vicuna"),
    "Falcon": Family("falcon", named="chatml"),
    "OPT": Family("opt"),
    "Cohere": Family("cohere", "command-r"),
    "Granite": Family("granite", "chatml"),
    "OLMo 2": Family("olmo2", "zephyr"),
    "StableLM": Family("stablelm", "zephyr"),
    "SmolLM3": Family("smollm3", "smollm2"),
    "Mixtral": Family("mixtral", "llama2", "metaspace"),
    "Qwen 3 MoE": Family("qwen3_moe", "qwen3"),
    "Starcoder 2": Family("starcoder2"),
    "Bloom": Family("bloom"),
}


@dataclass
class Walk:
    """How far a family came. Distances are nats a token, by what was compared; `stages` has a word about each that was passed."""

    family: str
    distances: dict[str, float] = field(default_factory=dict)
    greedy: dict[str, tuple[int, int]] = field(default_factory=dict)  # (tokens equal, tokens compared), by way of decoding
    rounded: float | None = None  # nats a token between a quantized release alone and in the stage's batches
    stages: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)  # first sentences of `MigakiError`s
    faults: list[str] = field(default_factory=list)  # any other errors
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether it passed every stage."""
        return all(stage in self.stages for stage in STAGES)

    @property
    def right(self) -> bool:
        """Whether nothing that was compared differs, and whatever is missing was refused with a reason."""
        near = all(distance <= TOLERANCE for distance in self.distances.values())
        equal = all(same == compared > 0 for same, compared in self.greedy.values())
        return near and equal and not self.faults and (self.whole or bool(self.refused))


EN = ["What is a token?", "Why mask the prompt?", "What does a rank do?", "Name a scale.", "Who pads?", "When to stop?"]
JA = ["トークンとは何ですか。", "なぜ隠すのですか。", "階数は何をしますか。", "尺度を一つ。", "誰が詰めますか。", "いつ止めますか。"]
ANSWERS = {"en": "It is a piece of text.", "ja": "文の一部です。"}
TURNS: list[Message] = [
    {"role": "user", "content": "Who wrote 雪国, and in which year did it come out as a book?"},
    {"role": "assistant", "content": "Kawabata Yasunari wrote it; the first edition is of 1937."},
    {"role": "user", "content": "どこの話ですか。"},
    {"role": "assistant", "content": "越後湯沢の温泉の話です。"},
    {"role": "user", "content": "いつですか。"},
]


def instructions() -> list[Instruction]:
    """In two languages, each third a conversation of several turns."""
    rows = []
    for lang, questions in (("en", EN), ("ja", JA)):
        for i, question in enumerate(questions):
            before = TURNS[:4] if i % 3 == 0 else []
            rows.append(Instruction(f"{lang}{i}", [*before, {"role": "user", "content": question}], ANSWERS[lang], lang, "test"))
    return rows


def preferences() -> list[Preference]:
    return [
        Preference(
            f"p{i}", [{"role": "user", "content": question}], "Yes. " * (1 + i % 3), "No!", "en" if i < 6 else "ja", "test", half=i % 2
        )
        for i, question in enumerate(EN + JA)
    ]


def feedback() -> list[Feedback]:
    return [
        Feedback(f"{pair.id}{liked:d}", pair.messages, pair.chosen if liked else pair.rejected, liked, pair.lang, "test")
        for pair in preferences()
        for liked in (True, False)
    ]


def save_family(family: Family, folder: Path) -> Path:
    """A tiny random model with a tokenizer trained on the rows, as a user would have them."""
    texts = [message["content"] for row in instructions() for message in row.chat]
    tokenizer = trained(family.tokenizer, texts, TEMPLATES[family.template] if family.template else None, 700)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.eos_token_id}
    vocabulary = -(-len(tokenizer) // 64) * 64  # more than there are tokens, as it often is
    tiny_of(family.kind, **{**family.settings(), **ends, "vocab_size": vocabulary}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def answered(backend: LocalModel, chats: Sequence[list[Message]]) -> list[list[int]]:
    """Tokens of the likeliest answers, asked for at the same time.

    Raises:
        MigakiError: there is none, or it is no text.
    """
    sampling, rows = Sampling(max_new_tokens=NEW_TOKENS, temperature=0.0, no_repeat_ngram=0), dict[tuple[int, ...], Row]()
    for lane in (backend._decoding, backend._unbatched):  # the one place where tokens are not text yet

        def noted(request: Request, submit: Any = lane.submit) -> None:
            rows[tuple(request.row.prompt)] = request.row
            submit(request)

        lane.submit = noted  # type: ignore[method-assign]

    def ask(chat: list[Message]) -> int:
        return sum(delta.tokens for delta in backend.stream(chat, sampling, threading.Event()))

    with ThreadPoolExecutor(len(chats)) as pool:
        counts = list(pool.map(ask, chats))
    said = [rows[tuple(encode_prompt(backend.tokenizer, chat))].answer for chat in chats]
    if [len(ids) for ids in said] != counts or not all(counts):
        raise AssertionError(f"answers of {[len(ids) for ids in said]} tokens were told as {counts}")
    return said


CHATS: list[list[Message]] = [[{"role": "user", "content": EN[0]}], [{"role": "user", "content": JA[0]}], TURNS]
PAIRS = {"reward_batch_pairs": 2, "reward_epochs": 1.0, "reward_normalise_prompts": 4, "reward_answer_tokens": 6, "reward_lora_r": 4}


class FamilyWalk:
    """One family on its way through the stages, in a home of its own."""

    def __init__(self, name: str, root: Path):
        self.family, self.walk = FAMILIES[name], Walk(name)
        self.project = TrainingProject(root, base=save_family(self.family, root / "base"))
        self.project.dataset = self.with_rows("preferences", preferences(), preferences())
        self.rows = load_instructions(self.project.folder(self.project.dataset), "eval")

    def with_rows(self, kind: str, train: list[Any], held_out: list[Any]) -> ArtifactRef:
        """A dataset of the instructions and of these records."""
        rows = instructions()
        with ArtifactStore(self.project.home).draft("dataset", f"{kind:x<64}") as folder:
            for split, kept, records in (("train", rows[1::2], train), ("eval", rows[0::2], held_out)):
                save(folder / f"instructions/{split}.parquet", kept)
                save(folder / f"{kind}/{split}.parquet", records)
            return self.project.commit(folder, {})

    def run(self) -> Walk:
        """All steps, to the first that fails but for align: quantize takes what tune made too."""
        started = time.perf_counter()
        self.step(self.decoded)
        tuned = self.step(self.tune)
        trained = self.step(self.align, tuned) if tuned else None
        released = self.step(self.quantize, trained or tuned) if tuned else None
        if released:
            self.step(self.chat, released)
        self.walk.seconds = time.perf_counter() - started
        return self.walk

    def step(self, body: Callable[..., ArtifactRef | None], *arguments: ArtifactRef) -> ArtifactRef | None:
        try:
            return body(*arguments)
        except MigakiError as error:
            self.walk.refused.append(f"{body.__name__}: {first_sentence(error)}")
        except Exception as error:
            self.walk.faults.append(f"{body.__name__}: {type(error).__name__}: {first_sentence(error)}")
        return None

    @property
    def base(self) -> Path:
        return self.project.work("tune", self.project.home.root, {}).model.path

    def decoded(self) -> None:
        """The base model's greedy tokens."""
        self.decode_alike("base", self.base)

    def decode_alike(self, name: str, folder: Path) -> None:
        """Greedy tokens by batched sampling and as chat decodes them, against the likeliest of the model's own forward."""
        model, tokenizer, own = load_model(folder), load_tokenizer(folder, self.family.named), plain(folder)
        prompts, ends = [encode_prompt(tokenizer, chat) for chat in CHATS], stop_ids(model, tokenizer)
        wanted = [own_greedy(own, prompt, ends) for prompt in prompts]
        sampled = sample(model, prompts, SamplingParams(NEW_TOKENS, ends, temperature=0.0))
        self.walk.greedy[f"{name}, sampling"] = equal_tokens([answer.ids for answer in sampled], wanted)
        backend = LocalModel(model, tokenizer, name)
        try:
            said = answered(backend, CHATS)
        finally:
            backend.close()
        self.walk.greedy[f"{name}, {'chat' if backend.batched else 'chat one by one'}"] = equal_tokens(said, wanted)
        if name == "released":
            generated = [generate(own, prompt) for prompt in prompts]
            self.walk.greedy["released, generate"] = equal_tokens(
                said, [(ids, min(len(ids), one[1])) for ids, one in zip(generated, wanted, strict=True)]
            )

    def tune(self) -> ArtifactRef:
        settings = TuneSettings(top_fraction=0.5, lora_r=4, epochs=2, learning_rate=5e-3, batch_size=4, template=self.family.named)
        tuned = self.project.run("tune", settings)
        metrics = self.project.metrics(tuned)
        self.hold("before", plain(self.base), load_tokenizer(self.base, self.family.named), metrics)
        self.hold("after", *self.opened(tuned), metrics)
        before, after = (metrics[f"tune.loss_per_token_{when}.en"][0] for when in ("before", "after"))
        self.walk.stages["tune"] = f"{before:.2f} to {after:.2f}"
        return tuned

    def hold(self, when: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, metrics: dict[str, list[float]]) -> None:
        """What `tune` said of the held-out rows of each language, against the model's own forward."""
        self.walk.distances[f"tune {when}"] = max(
            abs(
                own_loss(model, tokenizer, [row for row in self.rows if row.lang == lang])
                - metrics[f"tune.loss_per_token_{when}.{lang}"][0]
            )
            for lang in ANSWERS
        )

    def opened(self, ref: ArtifactRef) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """As later stages open it."""
        work = self.project.work("align", self.project.home.root, {})
        return open_model(self.base, work.trained(ref), work.adapter)

    def align(self, tuned: ArtifactRef) -> ArtifactRef:
        """By PPO; where reward models are refused, by KTO on unpaired feedback, which does without them."""
        settings, inputs = PPOSettings(**SMALL | FREE | {"learning_rate": 1e-3}), {"tuned": tuned}
        try:
            inputs["reward"] = self.project.run("reward", RewardSettings(**PAIRS), tuned=tuned)
        except MigakiError as error:
            self.walk.refused.append(f"reward: {first_sentence(error)}")
            settings = settings.model_copy(update={"algorithm": "kto"})
            inputs["dataset"] = self.with_rows("feedback", feedback(), feedback())
        aligned = self.project.run("align", settings, **inputs)
        before, after = (own_loss(*self.opened(ref), self.rows) for ref in (tuned, aligned))
        if before == after:
            raise AssertionError("what align learnt is not in the model that later stages open")
        self.walk.stages["align"] = f"{settings.algorithm}, {after - before:+.4f}"
        return aligned

    def quantize(self, trained: ArtifactRef) -> ArtifactRef:
        """Its loss of fp32 is held against the chain of adapters as opened, and against what it wrote as transformers opens it."""
        released = self.project.run("quantize", QuantizeSettings(pick="int8", keep_all=True), aligned=trained)
        record, folder = Model.of(released.meta), self.project.folder(released)
        said = {variant.variant: math.log(variant.perplexity) for variant in record.variants or []}
        model, tokenizer = self.opened(trained)
        self.walk.distances["trained"] = abs(own_loss(model, tokenizer, self.rows) - said["fp32"])
        written = folder / ("model" if record.precision == "fp32" else "variants/fp32")
        self.walk.distances["released"] = abs(own_loss(plain(written), tokenizer, self.rows) - said["fp32"])
        if record.precision != "fp32":
            picked = load_model(folder / "model")
            self.walk.rounded = abs(own_loss(picked, tokenizer, self.rows) - said[record.precision])
        self.decode_alike("released", written)
        passed = "; ".join(record.passed_over or [])
        self.walk.stages["quantize"] = record.precision + (f" ({passed})" if passed else "")
        return released

    def chat(self, released: ArtifactRef) -> None:
        """The very release, opened as chat opens it, answers in two languages."""
        backend = cast(LocalModel, load(ArtifactStore(self.project.home), released, ChatSettings(device="cpu", dtype="float32"))[0])
        try:
            said = answered(backend, CHATS[:2])
        finally:
            backend.close()
        self.walk.stages["chat"] = " and ".join(str(len(ids)) for ids in said)


def first_sentence(error: Exception) -> str:
    return re.split(r"(?<=[.;])\s", str(error) or "no message", maxsplit=1)[0][:200].rstrip(".;")


def walked(name: str, root: Path) -> Walk:
    """How far the family of that name comes, in a new folder. On one thread: in models so small, others only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return FamilyWalk(name, root).run()
    finally:
        torch.set_num_threads(threads)
