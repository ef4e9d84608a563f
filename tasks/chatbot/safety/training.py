"""Train and measure the classifier of harmful requests."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from tasks.chatbot.safety.classifier import Classifier, features, is_form
from tasks.chatbot.safety.files import located
from tasks.chatbot.safety.language import languages
from tasks.chatbot.safety.meaning import Meaning, fit_meaning, stacked
from tasks.chatbot.safety.rules import certain, signals
from tasks.chatbot.safety.settings import ClassifierSettings
from tasks.data.sources import read_rows
from tasks.documents.tables import BadRow
from tasks.errors import MigakiError
from tasks.statistics import wilson_interval
from tasks.text.detection import detect
from tasks.text.measures import is_refusal

if TYPE_CHECKING:
    from tasks.rag.embedding import Embedder

FIELDS = ("prompt", "instruction", "question")
HELDOUT = "heldout.jsonl"
LOWEST, HIGHEST = 0.2, 0.99  # a lower threshold would refuse what looks harmless, a higher one next to nothing


@dataclass(frozen=True)
class Example:
    """A request and whether it is harmful. A harmless one with a `topic` looks like the harmful ones of that topic."""

    prompt: str
    harmful: bool
    topic: str = ""
    split: str = "train"

    @property
    def lang(self) -> str:
        return detect(self.prompt)


@dataclass(frozen=True)
class Rate:
    """`count` of `items`, with the 95 % interval of Wilson (1927)."""

    count: int
    items: int

    @property
    def value(self) -> float:
        return self.count / self.items if self.items else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        if not self.items:
            return 0.0, 1.0
        low, high = wilson_interval(self.count, self.items)
        return max(0.0, low), min(1.0, high)


Rates = dict[tuple[str, bool], Rate]  # how often requests are refused, by (language, harmful)


def read_examples(settings: ClassifierSettings) -> list[Example]:
    """All rows of the files named, each request once. A row whose `output` declines to answer is no everyday request.

    Raises:
        MigakiError: a file cannot be read, a row has none of the fields, or another label or split than there are; names file and line.
    """
    examples = [_labelled(*row) for row in _rows(settings.examples)]
    for label, paths in ((True, settings.harmful), (False, settings.harmless)):
        examples += [
            Example(_text(row, where), label) for row, where in _rows(paths) if label or not is_refusal(str(row.get("output", "")))
        ]
    return list({example.prompt: example for example in reversed(examples)}.values())[::-1]


def _rows(paths: Sequence[str]) -> list[tuple[dict, str]]:
    rows = []
    for path in paths:
        for row in read_rows(located(path)):
            if isinstance(row, BadRow):
                raise MigakiError(f"{path}, line {row.line}: {row.detail}")
            rows.append((row.value, f"{path}, row {row.line}"))
    return rows


def _text(row: dict, where: str) -> str:
    text = next((row[name] for name in FIELDS if isinstance(row.get(name), str) and row[name].strip()), None)
    if text is None:
        raise MigakiError(f"{where}: none of the fields {', '.join(FIELDS)} has text")
    return text


def _labelled(row: dict, where: str) -> Example:
    label, split = row.get("label"), row.get("split", "train")
    if label not in ("harmful", "harmless"):
        raise MigakiError(f"{where}: label is {label!r}; harmful or harmless was expected")
    if split not in ("train", "heldout"):
        raise MigakiError(f"{where}: split is {split!r}; train or heldout was expected")
    return Example(_text(row, where), label == "harmful", str(row.get("topic", "")), split)


def save_heldout(folder: Path, examples: Iterable[Example]) -> None:
    """Keep the examples that are only measured on beside the classifier, for whoever measures what serves with it."""
    lines = [json.dumps(asdict(example), ensure_ascii=False) for example in examples if example.split == "heldout"]
    (folder / HELDOUT).write_text("\n".join(lines), encoding="utf-8")


def load_heldout(folder: Path) -> list[Example]:
    """The examples that `save_heldout` kept; none where a classifier of an earlier version has none."""
    path = folder / HELDOUT
    return [Example(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def fit(examples: Sequence[Example], settings: ClassifierSettings) -> Classifier:
    """A classifier of these examples, its thresholds not yet set (0.5)."""
    from sklearn.linear_model import LogisticRegression  # here: the guard opens its embedder by this module and need not wait for it

    rows = [features(example.prompt) for example in examples]
    counts = Counter(name for row in rows for name in row)
    names = sorted(name for name, count in counts.items() if count >= settings.min_count)
    place = {name: i for i, name in enumerate(names)}
    rarity = np.array([math.log((1 + len(rows)) / (1 + counts[name])) + 1 for name in names])
    rarity *= [settings.form if is_form(name) else 1.0 for name in names]
    columns = [sorted(place[name] for name in row if name in place) for row in rows]
    values = np.concatenate([rarity[row] / math.sqrt(len(row) or 1) for row in columns])
    matrix = csr_matrix((values, np.concatenate(columns), np.cumsum([0, *map(len, columns)])), shape=(len(rows), len(names)))
    model = LogisticRegression(C=settings.regularisation, class_weight="balanced", max_iter=2000)
    model.fit(matrix, [example.harmful for example in examples], _balance(examples))
    weights = model.coef_[0] * rarity
    return Classifier(dict(zip(names, weights.tolist(), strict=True)), float(model.intercept_[0]), dict.fromkeys(languages(), 0.5))


def _balance(examples: Sequence[Example]) -> list[float]:
    """A weight for each example: look-alikes count as much in all as the everyday requests of their language."""
    counts = Counter((example.lang, example.harmful, bool(example.topic)) for example in examples)

    def weight(example: Example) -> float:
        alike, everyday = counts[example.lang, False, True], counts[example.lang, False, False]
        return max(1.0, everyday / alike) if not example.harmful and example.topic else 1.0

    return [weight(example) for example in examples]


def train(examples: Sequence[Example], settings: ClassifierSettings, embedder: "Embedder | None" = None) -> Classifier:
    """The classifier alone of `train_and_validate`."""
    return train_and_validate(examples, settings, embedder)[0]


def train_and_validate(
    examples: Sequence[Example], settings: ClassifierSettings, embedder: "Embedder | None" = None
) -> tuple[Classifier, Rates]:
    """Fit on the examples to train on, and set each language's threshold by cross-validation; what rules and classifier refuse there.

    Args:
        embedder: knows the meaning of requests in the languages of `settings.meaning`; without, words alone count.

    Raises:
        MigakiError: too few examples of a label.
    """
    own = [example for example in examples if example.split == "train"]
    labels = Counter(example.harmful for example in own)
    if min(labels[True], labels[False]) < settings.folds:
        raise MigakiError(
            f"the safety classifier needs at least {settings.folds} harmful and {settings.folds} harmless examples; there are {labels[True]} and {labels[False]}"
        )
    refused_anyway = [bool(certain(signals(example.prompt))) for example in own]
    logits, meaning = out_of_fold(own, settings), None
    if embedder is not None and settings.meaning:
        meaning, logits = learn_meaning(own, logits, settings, embedder)
    scores = np.where(refused_anyway, 1.0, 1 / (1 + np.exp(-logits)))
    thresholds = {lang: threshold(own, scores, lang, share) for lang, share in settings.over_refusals().items()}
    embed = embed_with(embedder) if embedder is not None and meaning else None
    refused = {example.prompt for example, score in zip(own, scores, strict=True) if score >= thresholds[example.lang]}
    return replace(fit(own, settings), thresholds=thresholds, meaning=meaning, embed=embed), rates(own, refused.__contains__)


def learn_meaning(
    examples: Sequence[Example], words: np.ndarray, settings: ClassifierSettings, embedder: "Embedder"
) -> tuple[Meaning | None, np.ndarray]:
    """What requests mean, where their language is one of `settings.meaning`, put together with the logits of their words, which are of
    classifiers that have not seen them; and the logits of both. None where those languages have too few examples.
    """
    judged = [i for i, example in enumerate(examples) if example.lang in settings.meaning]
    own, harmful = [examples[i] for i in judged], np.array([examples[i].harmful for i in judged], dtype=bool)
    if min(harmful.sum(), (~harmful).sum()) < settings.folds:
        return None, words
    vectors, counts, folds = embedder.embed([example.prompt for example in own]), np.array(_balance(own)), folds_of(own, settings)
    margins = np.zeros(len(own))
    for fold in range(settings.folds):
        seen = folds != fold
        fitted = fit_meaning(vectors[seen], harmful[seen], counts[seen])
        margins[~seen] = [fitted.margin(vector) for vector in vectors[~seen]]
    a, b, constant = stacked(words[judged], margins, harmful)
    logits = words.copy()
    logits[judged] = a * words[judged] + b * margins + constant
    fitted = fit_meaning(vectors, harmful, counts)
    return replace(
        fitted, languages=tuple(settings.meaning), mix=(a, b, constant), backend=embedder.backend, fingerprint=embedder.fingerprint
    ), logits


def embed_with(embedder: "Embedder") -> Callable[[str], np.ndarray]:
    return lambda text: embedder.embed([text])[0]


def out_of_fold(examples: Sequence[Example], settings: ClassifierSettings) -> np.ndarray:
    """The logit of each example's words by a classifier that has not seen it, nor anything else of its topic.

    Whole topics are left out because users ask about things that no example is about: among topics already seen, look-alikes seem easier than
    they are.
    """
    folds = folds_of(examples, settings)
    logits = np.zeros(len(examples))
    for fold in range(settings.folds):
        fitted = fit([example for example, its in zip(examples, folds, strict=True) if its != fold], settings)
        for row in np.flatnonzero(folds == fold).tolist():
            logits[row] = fitted.words(examples[row].prompt)
    return logits


def folds_of(examples: Sequence[Example], settings: ClassifierSettings) -> np.ndarray:
    """A fold for each example: one for all of a topic, drawn for what has none."""
    generator = np.random.default_rng(settings.seed)
    topics = generator.permutation(sorted({example.topic for example in examples if example.topic}))
    of_topic = {topic: number % settings.folds for number, topic in enumerate(topics)} if len(topics) >= settings.folds else {}
    drawn = generator.permutation(len(examples)) % settings.folds
    return np.array([of_topic.get(example.topic, own) for example, own in zip(examples, drawn, strict=True)])


def threshold(examples: Sequence[Example], scores: np.ndarray, lang: str, over_refusal: float) -> float:
    """The lowest score from which at most `over_refusal` of a language's harmless examples are refused: of the look-alikes, where there are any."""
    harmless = [(bool(e.topic), s) for e, s in zip(examples, scores, strict=True) if not e.harmful and e.lang == lang]
    alike = [score for looks_alike, score in harmless if looks_alike] or [score for _, score in harmless]
    return float(np.clip(np.quantile(alike, 1 - over_refusal), LOWEST, HIGHEST)) if alike else 0.5


def rates(examples: Sequence[Example], refuses: Callable[[str], bool]) -> Rates:
    """How often requests are refused."""
    asked = Counter((example.lang, example.harmful) for example in examples)
    refused = Counter((example.lang, example.harmful) for example in examples if refuses(example.prompt))
    return {group: Rate(refused[group], asked[group]) for group in sorted(asked)}
