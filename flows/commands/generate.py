"""`migaki generate`: what a model says, in several ways of decoding side by side, as it comes."""

import io
import threading
from argparse import Namespace
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.live import Live
from rich.table import Table
from rich.text import Text

from flows.commands.show import PlainConsole, console
from flows.running.devices import device
from flows.running.parameters import RunParams
from flows.running.releases import opened_release, reigning_release
from storage.artifacts import ArtifactStore
from storage.home import Home
from storage.kinds import Model
from tasks.chatbot.settings import ChatSettings
from tasks.errors import MigakiError
from tasks.inference.backend import Reason, Sampling
from tasks.inference.strategies import WHOLE, Decoding, decodings
from tasks.shown import shown

if TYPE_CHECKING:
    from tasks.inference.local import LocalModel

MOST = 128  # continuations of a prompt
NARROWEST = 28  # columns of a terminal that a continuation takes at least where several stand side by side
REFRESH = 8  # times a second


@dataclass(frozen=True)
class Asked:
    """What is to be generated, as it was typed; see `migaki generate --help`."""

    prompts: Sequence[str]
    compare: str = "greedy,top_p:0.95"
    temperatures: str = "0.7"
    samples: int = 1
    no_repeat: int = 0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 64
    seed: int = 0
    chat: bool | None = None  # None: where the model has a chat template
    artifact: str | None = None

    @classmethod
    def of(cls, arguments: Namespace) -> "Asked":
        return cls(**{own.name: getattr(arguments, own.name) for own in fields(cls)})


@dataclass
class Continuation:
    """One continuation while it comes."""

    decoding: Decoding
    number: int  # from 1; 0 where the decoding gives but one
    deltas: Iterator[Any]
    text: str = ""
    tokens: int = 0
    reason: Reason | None = None

    @property
    def title(self) -> str:
        return f"{self.decoding.name} #{self.number}" if self.number else self.decoding.name

    def pieces(self) -> Iterator[str]:
        """The text as it comes."""
        for delta in self.deltas:
            self.text, self.tokens, self.reason = self.text + delta.text, self.tokens + delta.tokens, delta.reason
            yield delta.text

    def told(self) -> dict[str, Any]:
        return {"text": self.text, "tokens": self.tokens, "reason": self.reason}


def generate(home: Home, asked: Asked, said: dict[str, dict[str, Any]], out: TextIO) -> dict[str, Any]:
    """Print and return what the model says to every prompt, decoded in every way.

    Args:
        said: settings; `run.model` names the model, `chat.device` and `chat.dtype` say how it computes.
        out: what is printed for people goes here.

    Raises:
        MigakiError, StorageError: a prompt, a strategy or a number is none that can be taken (told before a model is opened), or the model cannot
            be opened.
    """
    RunParams(said)  # a misspelt section is refused
    settings, ways = ChatSettings.build("chat", said.get("chat", {})), _checked(asked)
    name, model, tuned = _open(home, asked.artifact, said, settings)
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="replace")  # a terminal that cannot show Japanese shows question marks
    page, stop = PlainConsole(file=out, highlight=False, markup=False, emoji=False), threading.Event()
    try:
        chat = asked.chat if asked.chat is not None else tuned or _has_template(model)
        page.print(f"{name}, {'answering through its chat template' if chat else 'continuing the text as it is'}", soft_wrap=True)
        found = [_one_prompt(model, prompt, ways, asked, chat, page, stop) for prompt in asked.prompts]
    finally:
        stop.set()
        model.close()
    return {"model": name, "chat": chat, "prompts": found}


def _checked(asked: Asked) -> list[Decoding]:
    """The ways of decoding. Everything that was typed is looked at."""
    for number, prompt in enumerate(asked.prompts, 1):
        if not prompt.strip():
            raise MigakiError(f'prompt {number} is empty: give a text, such as `migaki generate "Once upon a time"`')
        try:
            prompt.encode()
        except UnicodeEncodeError as error:
            raise MigakiError(f"prompt {number} holds bytes that are no UTF-8: type it in a terminal whose encoding is UTF-8") from error
    for option, value, least in (
        ("-n", asked.samples, 1),
        ("--no-repeat", asked.no_repeat, 0),
        ("--max-new-tokens", asked.max_new_tokens, 1),
    ):
        if value < least:
            raise MigakiError(f"{option} {value}: a whole number from {least} on is accepted")
    if not 0 <= asked.seed < 2**31:
        raise MigakiError(f"--seed {asked.seed}: a whole number from 0 to {2**31 - 1:,} is accepted")
    if not 0 < asked.repetition_penalty < float("inf"):
        raise MigakiError(f"--repetition-penalty {asked.repetition_penalty:g}: a number above 0 is accepted, and 1 is no penalty")
    shared = replace(
        WHOLE, max_new_tokens=asked.max_new_tokens, no_repeat_ngram=asked.no_repeat, repetition_penalty=asked.repetition_penalty
    )
    ways = decodings(_listed(asked.compare), _temperatures(asked.temperatures), shared)
    if (count := sum(asked.samples if way.draws else 1 for way in ways)) > MOST:
        raise MigakiError(f"{count} continuations of a prompt are too many to compare: at most {MOST}; name fewer, or a smaller -n")
    return ways


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _temperatures(text: str) -> list[float]:
    try:
        return [float(part) for part in _listed(text)]
    except ValueError as error:
        raise MigakiError(f"--temperatures {text[:60]!r}: numbers with commas between them are accepted, such as 0.3,0.7,1.0") from error


def _open(home: Home, artifact: str | None, said: dict[str, dict[str, Any]], settings: ChatSettings) -> "tuple[str, LocalModel, bool]":
    """Its name, the model, and whether it was tuned here: what was named, else the champion's, else the base model."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    reference = said.get("run", {}).get("model")
    if reference and artifact:
        raise MigakiError(f"--model {reference} and --artifact {artifact} both name a model: name one of them")
    if not artifact and not reference and (now := reigning_release(home)):
        artifact = now.release_id
    return _tuned(home, artifact, settings) if artifact else _base(home, RunParams(said).run.model, settings)


def _tuned(home: Home, artifact: str, settings: ChatSettings) -> "tuple[str, LocalModel, bool]":
    from flows.serving.engine import load  # with torch, as below

    store = ArtifactStore(home)
    ref = store.get(artifact)
    if ref.kind == "release":
        release = opened_release(home, ref.id)
        if not release.model:
            raise MigakiError(
                f"the release {ref.id[:12]} answers with a server's model, whose decoding is that server's: name another with --model"
            )
        ref = store.get(release.model)
    if ref.kind != "model":
        raise MigakiError(f"{ref.id[:12]} is of kind {ref.kind!r}; what generates is a model, which `migaki quantize` makes, or a release")
    backend, about = load(store, ref, settings)
    return f"{about.model} {ref.id[:12]} ({Model.of(ref.meta, ref.id).precision})", backend, True  # type: ignore[return-value]


def _base(home: Home, reference: str, settings: ChatSettings) -> "tuple[str, LocalModel, bool]":
    import torch

    from tasks.models.reference import resolve
    from tasks.models.word_table import stored_dtype
    from tasks.stages.serving import serving_model

    base = resolve(reference, home, console.print)
    precision = "fp16" if stored_dtype(base.path) == torch.float16 else "fp32"
    name = Path(reference).name if Path(reference).is_dir() else reference
    return name, serving_model(home, base.checksum, base.path, precision, settings.dtype, device(settings.device)), False


def _has_template(model: "LocalModel") -> bool:
    from tasks.prompts.templates import OWN, template_name

    return template_name(model.tokenizer) == OWN


def _one_prompt(
    model: "LocalModel", prompt: str, ways: Sequence[Decoding], asked: Asked, chat: bool, page: PlainConsole, stop: threading.Event
) -> dict[str, Any]:
    from tasks.prompts.template import encode_prompt

    ids = encode_prompt(model.tokenizer, [{"role": "user", "content": prompt}]) if chat else model.tokenizer(prompt)["input_ids"]
    if not ids:
        raise MigakiError(f"{prompt[:40]!r} has no token in this model's vocabulary: there is nothing to continue")
    rows = [
        Continuation(way, number if way.draws and asked.samples > 1 else 0, model.go_on(ids, _seeded(way, asked.seed, number), stop))
        for way in ways
        for number in range(1, (asked.samples if way.draws else 1) + 1)
    ]
    page.print()
    page.print(Text(shown(prompt), "bold"))
    if page.is_terminal and page.width >= len(ways) * NARROWEST:
        _side_by_side(ways, rows, page, stop)
    else:
        _one_below_another(rows, page)
    return {
        "prompt": prompt,
        "continuations": [{"decoding": way.name, "answers": [row.told() for row in rows if row.decoding is way]} for way in ways],
    }


def _seeded(way: Decoding, seed: int, number: int) -> Sampling:
    """Each number draws by a seed of its own, the same in every way of decoding."""
    return replace(way.sampling, seed=seed * MOST + number)


def _one_below_another(rows: Sequence[Continuation], page: PlainConsole) -> None:
    """A block for each; those below are generated meanwhile."""
    for row in rows:
        page.print(Text(f"\n{row.title}", "bold"))
        for piece in row.pieces():
            page.print(shown(piece), end="", soft_wrap=True)
        page.print("" if row.text else "(nothing)")


def _side_by_side(ways: Sequence[Decoding], rows: Sequence[Continuation], page: PlainConsole, stop: threading.Event) -> None:
    """A column for each way of decoding, a line for each sample, growing as the text comes."""
    drawn = Live(_table(ways, rows), console=page, refresh_per_second=REFRESH, vertical_overflow="visible")
    with ThreadPoolExecutor(len(rows)) as pool, drawn:
        coming = {pool.submit(deque, row.pieces(), 0) for row in rows}
        try:
            while coming:
                come, coming = wait(coming, 1 / REFRESH)
                drawn.update(_table(ways, rows))
                for one in come:
                    one.result()  # what went wrong is told
        except BaseException:
            stop.set()  # the pool waits for the others
            raise


def _table(ways: Sequence[Decoding], rows: Sequence[Continuation]) -> Table:
    drawn = Table(header_style="bold", show_lines=True, expand=True)
    columns = [[row for row in rows if row.decoding is way] for way in ways]
    for way in ways:
        drawn.add_column(Text(way.name), overflow="fold", ratio=1)
    for line in range(max(map(len, columns))):
        drawn.add_row(*[Text(shown(column[line].text)) if line < len(column) else Text() for column in columns])
    return drawn
