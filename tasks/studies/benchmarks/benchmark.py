"""Benchmarks as a study: the arms are models, the items all questions of all suites."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.inference.continuations import ContinuationScorer
from tasks.inference.sampling import SamplingParams, sample
from tasks.models.families import context_length
from tasks.prompts.template import decode, stop_ids
from tasks.studies.benchmarks.likelihood import Choices, Chooser
from tasks.studies.benchmarks.prompting import Asked, Drawn, ask, cut
from tasks.studies.study import Answer, Arm, Item, Measure, Opened
from tasks.studies.suites.extraction import taken_out
from tasks.studies.suites.question import Question, letter

Opens = Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerBase]]
BATCH = 64  # questions between two points from which a killed run goes on
WRITTEN = 16  # answers that are written together


@dataclass(frozen=True)
class Way:
    """How answers are got: which score takes a choice, whether an empty prompt is asked too, and how long a written answer may be."""

    score: str = "bytes"
    empty_prompt: bool = True
    answer_tokens: int = 192


class Contestant:
    """A model that is open, and its answers to questions."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, way: Way):
        self.model, self.tokenizer, self.way = model, tokenizer, way
        self.chooser = Chooser(ContinuationScorer(model), tokenizer, way.empty_prompt)

    def answers(self, suite: str, questions: Sequence[Question], asked: Sequence[Asked]) -> list[Answer]:
        """Answers to questions of one suite with the same worked examples before them, all of one kind.

        Raises:
            MigakiError: a choice, or the room for an answer, is longer than the model's context. A question that is longer is cut at its beginning.
        """
        if questions[0].kind == "choice":
            return [self._chosen(suite, *one) for one in zip(questions, self.chooser.choices(asked), strict=True)]
        return self._written(suite, questions, asked)

    def _chosen(self, suite: str, question: Question, choices: Choices) -> Answer:
        taken = {rule: choices.taken(rule) for rule in choices.rules}
        values = {f"{suite}.{rule}": float(one == question.right) for rule, one in taken.items()}
        return Answer(
            _scored(suite, taken[self.way.score] == question.right) | values,
            question.question,
            _named(question, taken[self.way.score]),
            _named(question, question.right),
            {"scores": choices.by(self.way.score), "subject": question.subject, "cut": choices.cut},
        )

    def _written(self, suite: str, questions: Sequence[Question], asked: Sequence[Asked]) -> list[Answer]:
        prompts = [list(self.tokenizer(one.context)["input_ids"]) for one in asked]
        context = context_length(self.model.config)
        room = context - self.way.answer_tokens if context else max(map(len, prompts))
        if room < 1:
            raise MigakiError(
                f"benchmark {suite}: answers of {self.way.answer_tokens} tokens leave nothing of the model's context of {context} to a question: "
                "shorter ones (benchmark.answer_tokens)"
            )
        params = SamplingParams(self.way.answer_tokens, stop_ids(self.model, self.tokenizer), temperature=0.0)
        answers = []
        written = sample(self.model, [prompt[-room:] for prompt in prompts], params, batch=WRITTEN)
        for question, prompt, answer in zip(questions, prompts, written, strict=True):
            text = cut(decode(self.tokenizer, answer.ids, skip_special_tokens=True), question)
            found = taken_out(text, question)
            values = _scored(suite, found == question.answer) | {
                f"{suite}.unparsed": float(found is None),
                f"{suite}.tokens": float(len(answer.ids)),
            }
            answers.append(
                Answer(
                    values,
                    question.question,
                    text,
                    question.answer,
                    {"taken_out": found, "subject": question.subject, "cut": len(prompt) > room},
                )
            )
        return answers


def _scored(suite: str, correct: bool) -> dict[str, float]:
    return {"correct": float(correct), suite: float(correct)}


def _named(question: Question, index: int) -> str:
    return f"{letter(index)}. {question.choices[index]}"


class Benchmarks:
    """Models on suites. The first model is what the others are compared with."""

    name: str = "benchmark"
    batch: int = BATCH

    def __init__(self, suites: Sequence[Drawn], models: Mapping[str, Opens], way: Way):
        self.way, self._models = way, models
        self.arms: Sequence[Arm] = [Arm(name) for name in models]
        self._asked: dict[str, tuple[Drawn, Question]] = {f"{one.suite.name}/{q.id}": (one, q) for one in suites for q in one.questions}
        self.items: Sequence[Item] = [Item(id, question.lang) for id, (_, question) in self._asked.items()]
        self.measures: Sequence[Measure] = [
            Measure("correct", "right answers"),
            *(measure for one in suites for measure in _measures(one, way)),
        ]

    @contextmanager
    def opened(self, arm: Arm) -> Iterator[Opened]:
        """The model of that name, in memory only meanwhile."""
        model, tokenizer = self._models[arm.name]()
        contestant = Contestant(model, tokenizer, self.way)
        yield Opened(lambda items: self._answers(contestant, items), {"parameters": float(model.num_parameters())})

    def _answers(self, contestant: Contestant, items: Sequence[Item]) -> list[Answer]:
        return answered(contestant, [self._asked[item.id] for item in items])


def answered(contestant: Contestant, questions: Sequence[tuple[Drawn, Question]]) -> list[Answer]:
    """Answers in the questions' order; those with the same worked examples before them are asked together."""
    found: list[Answer] = []
    for (name, _), part in groupby(questions, lambda pair: (pair[0].suite.name, pair[0].examples.get(pair[1].subject, ()))):
        own = list(part)
        asked = [ask(q, drawn.examples.get(q.subject, ()), drawn.suite.style) for drawn, q in own]
        found += contestant.answers(name, [q for _, q in own], asked)
    return found


def _measures(drawn: Drawn, way: Way) -> list[Measure]:
    name = drawn.suite.name
    if drawn.questions and drawn.questions[0].kind == "choice":
        rules = ("sum", "bytes", "tokens", *(("pmi",) if way.empty_prompt else ()))
        return [Measure(name, told=True), *(Measure(f"{name}.{rule}", f"{name}, by {rule}") for rule in rules)]
    return [
        Measure(name, told=True),
        Measure(f"{name}.unparsed", f"{name}, answers that say none", "lower"),
        Measure(f"{name}.tokens", f"{name}, tokens written", ""),
    ]
