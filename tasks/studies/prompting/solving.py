"""Ways of asking beside each other, on questions with an answer: what is asked, how often it is right, and what it costs."""

import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager

from tasks.errors import MigakiError
from tasks.inference.backend import Backend, Delta, Sampling
from tasks.prompts.library.language import languages
from tasks.prompts.library.library import Library
from tasks.prompts.library.prompt import FIELD, Prompt
from tasks.prompts.library.rendering import render
from tasks.studies.prompting.methods import Method
from tasks.studies.prompting.questions import Drawn
from tasks.studies.prompting.settings import SolvingSettings
from tasks.studies.study import Answer, Arm, Item, Measure, Opened
from tasks.studies.suites.extraction import taken_out
from tasks.studies.suites.question import Question, letter
from tasks.text.messages import Message

AT_ONCE = 16  # as many as a model of this process answers together
TOP_K = 40  # of self-consistency (Wang et al. 2023, section 3.1)
# Percent right without and with a chain of thought, as the textbook has them (section 4.3, exercise 2).
TEXTBOOK = {"gsm8k": (17.9, 58.1), "svamp": (69.4, 78.7)}


class Solving:
    """The study. Each question is put by the library's prompt `solve_KIND` of its language."""

    name, batch = "prompt_study", 2 * AT_ONCE
    measures = (
        Measure("correct", "right"),
        Measure("unparsed", "no answer found", "lower"),
        Measure("tokens", "tokens written", ""),
        Measure("prompt_tokens", "tokens of the prompt", ""),
        Measure("reused", "of these read before", ""),
        Measure("seconds", "seconds", ""),
    )

    def __init__(
        self,
        drawn: Drawn,
        methods: Sequence[Method],
        library: Library,
        opened: Callable[[], AbstractContextManager[Backend]],
        settings: SolvingSettings,
    ):
        """`opened` opens the model; its prefix cache is empty then, so that every arm pays for its own examples."""
        self.drawn, self.library, self.settings, self._backend = drawn, library, settings, opened
        self.methods = {method.name: method for method in methods}
        self.arms = [Arm(method.name, {"shots": method.shots, "steps": method.steps, "votes": method.votes}) for method in methods]
        self.items = [Item(one.id, one.lang, {"question": one}) for one in drawn.asked]

    @contextmanager
    def opened(self, arm: Arm) -> Iterator[Opened]:
        """The model, which has read once what all prompts of the arm begin with.

        Raises:
            MigakiError: a prompt and its answer do not fit the model's context.
        """
        method = self.methods[arm.name]
        prompts = {item.id: self.messages(method, item.content["question"]) for item in self.items}
        with self._backend() as backend:
            self._check_room(backend, method, prompts)
            if method.shots:  # alone, so that the others find the examples in the prefix cache
                list(backend.stream(prompts[self.items[0].id], Sampling(max_new_tokens=1, temperature=0.0), threading.Event()))
            yield Opened(lambda items: self._answers(backend, method, items, prompts))

    def prompt(self, method: Method, question: Question) -> Prompt:
        """The library's prompt as the method puts it.

        Raises:
            MigakiError: there is none in the question's language.
        """
        own = self.library.named(f"solve_{question.kind}")
        if question.lang not in own:
            raise MigakiError(f"the prompt 'solve_{question.kind}' is in {', '.join(own)}, and {question.id} is in {question.lang!r}")
        return own[question.lang].model_copy(update={"reasoning": "step by step" if method.steps == "asked" else "none"})

    def messages(self, method: Method, question: Question) -> list[Message]:
        shown = [
            _fields(one) | {"steps": one.rationale * (method.steps == "shown"), "answer": _as_said(one)} for one in self.drawn.shown(method)
        ]
        return render(self.prompt(method, question), _fields(question), shown)

    def _next(self, method: Method, question: Question) -> str:
        """What an example begins with, on a line of its own: a model that was shown some goes on with another, whose answer is none to the question."""
        layout = self.prompt(method, question).examples
        return "\n" + FIELD.split(layout.layout)[0].rstrip() if layout and method.shots else ""

    def _limit(self, method: Method) -> int:
        return self.settings.answer_tokens if method.steps == "none" else self.settings.reasoning_tokens

    def _check_room(self, backend: Backend, method: Method, prompts: Mapping[str, list[Message]]) -> None:
        longest = max(backend.count_tokens(messages) for messages in prompts.values())
        if longest + self._limit(method) > backend.context:
            raise MigakiError(
                f"{method.name}: the longest prompt takes {longest} tokens and its answer up to {self._limit(method)}, and {backend.name} reads "
                f"{backend.context} together: show fewer examples, or lower prompt_study.answer_tokens or reasoning_tokens"
            )

    def _answers(self, backend: Backend, method: Method, items: Sequence[Item], prompts: Mapping[str, list[Message]]) -> list[Answer]:
        """All votes of all items together. What was read before and how long it took are told of the batch, and shared out among its items."""
        calls = [(item, vote) for item in items for vote in range(method.votes)]
        before, began = backend.stats, time.perf_counter()

        def write(call: tuple[Item, int]) -> tuple[str, int]:
            deltas = backend.stream(prompts[call[0].id], self._sampling(method, *call), threading.Event())
            return _written(deltas, self._next(method, call[0].content["question"]))

        with ThreadPoolExecutor(AT_ONCE) as pool:
            written = list(pool.map(write, calls))
        share = {
            "reused": (backend.stats.reused_tokens - before.reused_tokens) / len(items),
            "seconds": (time.perf_counter() - began) / len(items),
        }
        found = []
        for place, item in enumerate(items):
            own = written[place * method.votes : (place + 1) * method.votes]
            counted = backend.count_tokens(prompts[item.id]) * method.votes
            values = {"tokens": float(sum(tokens for _, tokens in own)), "prompt_tokens": float(counted)} | share
            found.append(judged(item.content["question"], [text for text, _ in own], prompts[item.id][-1]["content"], values))
        return found

    def _sampling(self, method: Method, item: Item, vote: int) -> Sampling:
        """The seed is the item's own: asked again, the same is said."""
        temperature = self.settings.temperature if method.votes > 1 else 0.0
        seed = zlib.crc32(f"{self.settings.seed} {item.id} {vote}".encode())
        return Sampling(max_new_tokens=self._limit(method), temperature=temperature, top_k=TOP_K, top_p=1.0, no_repeat_ngram=0, seed=seed)


def _written(deltas: Generator[Delta, None, None], end: str) -> tuple[str, int]:
    """What is written up to `end` ("" for none), and the tokens that were generated; the rest is not waited for."""
    text, tokens = "", 0
    with closing(deltas):
        for delta in deltas:
            text, tokens = text + delta.text, tokens + delta.tokens
            if end.strip() and end in text:
                return text.partition(end)[0], tokens
    return text, tokens


def judged(question: Question, texts: Sequence[str], prompt: str, values: Mapping[str, float]) -> Answer:
    """Whether what was written is right: the answer that is taken out of most of the texts, and of equals the first; those without one do not vote."""
    taken = [taken_out(text, question) for text in texts]
    votes = Counter(one for one in taken if one is not None)
    answer = votes.most_common(1)[0][0] if votes else None
    right = answer is not None and answer.casefold() == question.answer.casefold()
    return Answer(
        values={"correct": float(right), "unparsed": float(answer is None)} | dict(values),
        prompt=prompt,
        text="\n\n".join(texts),
        reference=_as_said(question),
        details={"answer": answer, "taken": taken},
    )


def _fields(question: Question) -> dict[str, str]:
    choices = "\n".join(f"({letter(place)}) {choice}" for place, choice in enumerate(question.choices))
    return {"question": question.question} | ({"choices": choices} if choices else {})


def _as_said(question: Question) -> str:
    """The right answer in the question's language."""
    return languages()[question.lang].YES_NO[question.answer] if question.kind == "yes_no" else question.answer


def notes_on(suite: str, note: str) -> list[str]:
    """What whoever reads the figures must know."""
    found = [note] if note else []
    if suite in TEXTBOOK:
        plain, reasoned = TEXTBOOK[suite]
        found.append(f"The textbook has {suite} at {plain} % right without a chain of thought and {reasoned} % with one (section 4.3).")
    return [
        *found,
        "A chain of thought helps models of about 100 billion parameters; smaller ones write fluent steps that are wrong, and are often no better or worse with "
        "them (Wei et al. 2022, section 3.2). That a small model does not show the textbook's gain is no fault of the prompt.",
        "An answer is taken out of the text by rules (tasks/studies/suites/extraction.py); where they find none, it counts as wrong and as not found.",
        "An answer that is longer than prompt_study.answer_tokens, or reasoning_tokens where steps are written first, is cut there and read as far as it goes.",
        "self-consistency takes the answer that comes most often of several sampled ones; all other ways take the likeliest token.",
        "Seconds are those of a batch of answers, shared out among them; the examples of a method are read once, before its first answer.",
    ]
