"""Many users at once: what all of them together get, how long each waits, and that nobody gets somebody else's answer.

    python benchmarks/serving.py [--users 16] [--seconds 120] [--model PATH]
    migaki serve --set serve.requests_per_minute=100000 --set serve.burst=10000 --set chat.cost_wrong=0
    python benchmarks/serving.py --url http://127.0.0.1:8400 --lang en [--token TOKEN] [--pid PID]
    python benchmarks/serving.py --url http://127.0.0.1:8400 --lang en --api v1 --tokens FILE --users 32 --seconds 60 --max-new-tokens 8 [--abusive TOKEN]

The first asks a model in this process. Questions of the example project in both languages, no two prompts alike, each with parts of two documents,
are answered greedily, so that answers can be held against what the model says to the same prompt alone: where the texts part, the model
alone must find the token that was said as likely as its own choice, up to rounding.
The second asks the page's API of a running `migaki serve`, three questions to a conversation, and checks that turns and conversations hold what
their user asked; `--pid` is the server's, whose memory is watched.
The third asks `/v1`, each user with a token of their own, in answers so short that hardly one ends by itself (`reasons` counts how they did): trees
can be compared by answers and p95. `--abusive` keeps 100 streams of that token open beside them, which are not counted.
All print one JSON line and exit with 1 if anything went wrong.
"""

import argparse
import json
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch
from common import bundled_model
from transformers import PreTrainedTokenizerBase

from tasks.inference.backend import Sampling
from tasks.inference.batching import BatchLimits
from tasks.inference.local import LocalModel
from tasks.models.loader import load_model, load_tokenizer
from tasks.models.packed import pack_linear
from tasks.prompts.context import with_context
from tasks.prompts.template import encode_prompt
from tasks.statistics import percentile
from tasks.text.messages import Message

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NOTE_TOKENS = 150  # of each of two documents
STREAMS = 100  # of an abusive token, at once
TURNS = 3  # questions in a conversation with the server
ROUNDING = {"float32": 0.01, "bfloat16": 0.3}  # nats

Ask = Callable[[int, int], "Asked"]  # (user, how many questions that user has asked)


@dataclass
class Asked:
    """One answer: to which prompt, what came, when (seconds)."""

    prompt: int
    text: str = ""
    tokens: int = 0
    reason: str = ""
    first: float = 0.0
    whole: float = 0.0


def rows() -> list[dict[str, Any]]:
    """The example project's questions, English and Japanese in turn."""
    both = [(EXAMPLES / f"questions.{lang}.jsonl").read_text(encoding="utf-8").splitlines() for lang in ("en", "ja")]
    return [json.loads(line) | {"lang": lang} for pair in zip(*both, strict=False) for lang, line in zip(("en", "ja"), pair, strict=True)]


def prompts(tokenizer: PreTrainedTokenizerBase) -> Callable[[int], list[Message]]:
    """The prompt of each number. Its notes begin with the number, so that all prompts differ from there on."""
    asked = rows()

    def note(row: dict[str, Any]) -> str:
        ids = tokenizer((EXAMPLES / "documents" / row["document"]).read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"]
        return tokenizer.decode(ids[:NOTE_TOKENS]).rstrip("\ufffd")

    notes = [note(row) for row in asked]

    def prompt(number: int) -> list[Message]:
        i = number % len(asked)
        return with_context([{"role": "user", "content": asked[i]["question"]}], [f"({number}) {notes[i]}", notes[i - 2]])

    return prompt


def ask(backend: LocalModel, messages: list[Message], number: int, sampling: Sampling) -> Asked:
    start, found = time.perf_counter(), Asked(number)
    for delta in backend.stream(messages, sampling, threading.Event()):
        if not found.tokens and delta.tokens:
            found.first = time.perf_counter() - start
        found.text, found.tokens, found.reason = found.text + delta.text, found.tokens + delta.tokens, delta.reason or ""
    found.whole = time.perf_counter() - start
    return found


def load(ask: Ask, users: int, seconds: float, watch: Callable[[], float]) -> tuple[list[Asked], list[str], float, list[float]]:
    """(answers, errors, seconds that it took, memory in MiB over time): users ask until the time is over, and are answered to the end."""
    answers, errors, memory, start = [], [], [watch()], time.perf_counter()

    def user(number: int) -> None:
        turn = 0
        while time.perf_counter() - start < seconds:
            try:
                answers.append(ask(number, turn))
            except Exception as error:
                errors.append(repr(error))
                time.sleep(1)
            turn += 1

    threads = [threading.Thread(target=user, args=(number,)) for number in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(5)
            memory.append(watch())
    return answers, errors, time.perf_counter() - start, memory


def figures(answers: list[Asked], errors: list[str], seconds: float, memory: list[float]) -> dict[str, Any]:
    """What both ways of asking report."""
    firsts, half = [answer.first for answer in answers], len(memory) // 2
    return {
        "seconds": round(seconds, 1),
        "answers": len(answers),
        "errors": errors,
        "reasons": {reason: sum(answer.reason == reason for answer in answers) for reason in sorted({a.reason for a in answers})},
        "tokens_s": round(sum(answer.tokens for answer in answers) / seconds, 1),
        "first_token_p50_s": round(statistics.median(firsts), 2),
        "first_token_p95_s": round(percentile(firsts, 0.95), 2),
        "answer_p95_s": round(percentile([answer.whole for answer in answers], 0.95), 2),
        "rss_mib_start_half_end": [round(memory[0]), round(memory[half]), round(memory[-1])],
    }


@torch.no_grad()
def is_own(backend: LocalModel, prompt: list[Message], said: Asked, alone: Asked, rounding: float) -> bool:
    """Whether an answer is what the model says alone; where they part, whether it is a tie."""
    if said.text == alone.text:
        return True
    start = encode_prompt(backend.tokenizer, prompt)
    answer, other = (backend.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (said.text, alone.text))
    at = next((i for i, (a, b) in enumerate(zip(answer, other, strict=False)) if a != b), None)
    if at is None:
        return said.reason != alone.reason
    logprobs = backend.model(torch.tensor([start + answer[:at]])).logits[0, -1].log_softmax(-1)
    return bool(logprobs.max() - logprobs[answer[at]] < rounding)


def rss_mib(pid: int | str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def timed(owner: Any, name: str, spent: dict[str, float]):
    """Add up the seconds in a method."""
    plain: Callable = getattr(owner, name)

    def wrapped(*args: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return plain(*args, **named)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start

    setattr(owner, name, wrapped)
    try:
        yield
    finally:
        delattr(owner, name)


def in_process(given: argparse.Namespace) -> dict[str, Any]:
    """Users of a model in this process."""
    path = given.model or bundled_model()
    model = load_model(path, given.dtype)
    pack_linear(model, head=model.get_output_embeddings())
    backend = LocalModel(model, load_tokenizer(path), path.name, limits=BatchLimits(max_rows=given.users))
    prompt, sampling = prompts(backend.tokenizer), Sampling(given.max_new_tokens, temperature=0.0, no_repeat_ngram=0)
    alone = {number: ask(backend, prompt(number), number, sampling) for number in range(0, 5 * given.checked, 5)}
    batch, before, spent, cpu = backend._decoding.batch, backend.stats, {}, time.process_time()
    batch.prefixes.clear()
    with timed(batch, "step", spent), timed(batch, "_forward", spent):
        answers, errors, seconds, memory = load(
            lambda user, turn: ask(backend, prompt(user + given.users * turn), user + given.users * turn, sampling),
            given.users,
            given.seconds,
            lambda: rss_mib("self"),
        )
    after, cpu = backend.stats, time.process_time() - cpu
    rounding, checked = ROUNDING[given.dtype], [answer for answer in answers if answer.prompt in alone]
    wrong = [answer.prompt for answer in checked if not is_own(backend, prompt(answer.prompt), answer, alone[answer.prompt], rounding)]
    lengths = [backend.count_tokens(prompt(answer.prompt)) for answer in answers]
    backend.close()
    return figures(answers, errors, seconds, memory) | {
        "tokens_cpu_s": round(sum(answer.tokens for answer in answers) / cpu, 1),
        "alone_tokens_s": round(sum(a.tokens for a in alone.values()) / sum(a.whole for a in alone.values()), 1),
        "prompt_tokens": round(statistics.mean(lengths)),
        "prompt_tokens_reused": round((after.reused_tokens - before.reused_tokens) / (after.prompt_tokens - before.prompt_tokens), 3),
        "tokens_a_step": round((after.tokens - before.tokens) / (after.steps - before.steps), 1),
        "outside_the_model": round(1 - spent["_forward"] / seconds, 3),
        "outside_the_model_in_a_step": round(1 - spent["_forward"] / spent["step"], 3),
        "checked": len(checked),
        "same_as_alone": sum(answer.text == alone[answer.prompt].text for answer in checked),
        "wrong": wrong,
    }


def over_http(given: argparse.Namespace) -> dict[str, Any]:
    """Users of the page's API."""
    asked, mixed = [row["question"] for row in rows() if given.lang in (row["lang"], "both")], []
    headers = {"Authorization": f"Bearer {given.token}"} if given.token else {}
    client = httpx.Client(base_url=given.url, headers=headers, timeout=300, limits=httpx.Limits(max_connections=None))
    conversations: dict[int, tuple[str, list[str]]] = {}

    def turn(user: int, number: int) -> Asked:
        question = f"{asked[(5 * user + number) % len(asked)]} ({user}.{number})"
        conversation, earlier = conversations.get(user, ("", [])) if number % TURNS else ("", [])
        found, told = ask_page(client, question, conversation)
        conversations[user] = told["conversation"], [*earlier, question]
        kept = client.get(f"/api/conversations/{told['conversation']}").raise_for_status().json()["messages"]
        if told["turn"]["question"] != question or [m["content"] for m in kept if m["role"] == "user"] != [*earlier, question]:
            mixed.append(question)
        return found

    found = figures(*load(turn, given.users, given.seconds, lambda: rss_mib(given.pid) if given.pid else 0.0))
    return found | {"wrong": mixed}


def over_v1(given: argparse.Namespace) -> dict[str, Any]:
    """Users of `/v1`, each with a token."""
    asked = [row["question"] for row in rows() if given.lang in (row["lang"], "both")]
    lines = given.tokens.read_text(encoding="utf-8").splitlines()
    tokens = [line.partition(":")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
    tokens = [token for token in tokens if token != given.abusive]
    if len(tokens) < given.users:
        sys.exit(f"{given.tokens} holds {len(tokens)} tokens besides the abusive one; {given.users} users need as many")
    client = httpx.Client(base_url=given.url, timeout=300, limits=httpx.Limits(max_connections=None))

    def turn(user: int, number: int) -> Asked:
        question = f"{asked[(5 * user + number) % len(asked)]} ({user}.{number})"
        return ask_v1(client, tokens[user], question, given.max_new_tokens)

    with abused(client, given) as statuses:
        found = figures(*load(turn, given.users, given.seconds, lambda: rss_mib(given.pid) if given.pid else 0.0))
    return found | {"wrong": [], "abusive": dict(statuses)}


@contextmanager
def abused(client: httpx.Client, given: argparse.Namespace) -> Iterator[Counter[str]]:
    """What the abusive token's streams came to, which begin anew as soon as they end."""
    over, statuses = threading.Event(), Counter[str]()

    def stream() -> None:
        while not over.is_set():
            try:
                ask_v1(client, given.abusive, "Tell me a long story about the sea.", 512)
                statuses["answered"] += 1
            except (RuntimeError, httpx.HTTPError) as error:
                statuses[str(error).partition(":")[0]] += 1
                over.wait(1)

    for _ in range(STREAMS if given.abusive else 0):
        threading.Thread(target=stream, daemon=True).start()
    time.sleep(5 if given.abusive else 0)  # they come first
    try:
        yield statuses
    finally:
        over.set()


def ask_v1(client: httpx.Client, token: str, question: str, longest: int) -> Asked:
    start, found = time.perf_counter(), Asked(0)
    body = {"model": "migaki", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": longest}
    body |= {"messages": [{"role": "user", "content": question}]}
    with client.stream("POST", "/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {token}"}) as response:
        if response.status_code != 200:
            raise RuntimeError(f"{response.status_code}: {response.read().decode()}")
        for line in response.iter_lines():
            if not line.startswith("data:") or line.endswith("[DONE]"):
                continue
            data = json.loads(line.removeprefix("data:"))
            if "error" in data:
                raise RuntimeError(f"{data['error'].get('code')}: {data}")
            for choice in data["choices"]:
                if text := choice["delta"].get("content"):
                    found.first, found.text = found.first or time.perf_counter() - start, found.text + text
                found.reason = choice["finish_reason"] or found.reason
            found.tokens = (data.get("usage") or {}).get("completion_tokens", found.tokens)
    found.whole = time.perf_counter() - start
    return found


def ask_page(client: httpx.Client, question: str, conversation: str) -> tuple[Asked, dict[str, Any]]:
    """(answer, what the events `begun` and `ended` told)."""
    start, found, told, event = time.perf_counter(), Asked(0), {}, ""
    body = {"question": question} | ({"conversation": conversation} if conversation else {})
    with client.stream("POST", "/api/chat", json=body) as response:
        if response.status_code != 200:
            raise RuntimeError(f"{response.status_code}: {response.read().decode()}")
        for line in response.iter_lines():
            if line.startswith("event:"):
                event = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                data = json.loads(line.removeprefix("data:"))
                if event == "error":
                    raise RuntimeError(str(data))
                if event == "piece":
                    found.first, found.text = found.first or time.perf_counter() - start, found.text + data["text"]
                if event in ("begun", "ended"):
                    told |= data
    found.whole, found.tokens, found.reason = time.perf_counter() - start, told["turn"]["tokens"], told["turn"]["finish"]
    return found, told


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--users", type=int, default=16)
    arguments.add_argument("--seconds", type=float, default=120.0)
    arguments.add_argument("--max-new-tokens", type=int, default=96)
    arguments.add_argument("--model", type=Path, help="a model's folder; the bundled one without it")
    arguments.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="what the model in this process computes in")
    arguments.add_argument("--checked", type=int, default=12, help="hold the answers to so many prompts against those given alone")
    arguments.add_argument("--url", help="ask a running `migaki serve`")
    arguments.add_argument(
        "--lang", choices=("en", "ja", "both"), default="both", help="of the questions to a server; the bundled model writes en alone"
    )
    arguments.add_argument("--token", help="of a user of that server")
    arguments.add_argument("--api", choices=("page", "v1"), default="page", help="of that server: the page's, or OpenAI's")
    arguments.add_argument("--tokens", type=Path, help="that server's token file: with --api v1 each user has one")
    arguments.add_argument("--abusive", default="", help="one of these tokens, with 100 streams")
    arguments.add_argument("--pid", type=int, help="of that server")
    given = arguments.parse_args()
    ask_all = in_process if not given.url else over_v1 if given.api == "v1" else over_http
    found = {"users": given.users} | ask_all(given)
    print(json.dumps(found, ensure_ascii=False))
    sys.exit(bool(found["errors"] or found["wrong"]))


if __name__ == "__main__":
    main()
