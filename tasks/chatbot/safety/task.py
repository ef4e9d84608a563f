"""The stage safety: train the classifier of harmful requests, and measure what the filters refuse with it."""

from collections import Counter
from dataclasses import replace

from storage.artifacts import ArtifactRef
from storage.kinds import Classifier
from storage.parts import Refused
from tasks.chatbot.safety.guard import Guard
from tasks.chatbot.safety.settings import ClassifierSettings, GuardSettings
from tasks.chatbot.safety.training import Example, Rates, rates, read_examples, save_heldout, train_and_validate
from tasks.rag.embedding import Embedder
from tasks.stages.work import Work

LABELS = {True: "refused", False: "over_refused"}


def safety(settings: ClassifierSettings, inputs: dict[str, ArtifactRef], work: Work) -> Classifier:
    """Train on the rows of the files named. Reports how many requests the whole filter refuses, harmful and harmless, by language: of those held
    out, and in the cross-validation of the training."""
    examples = read_examples(settings)
    # As the index has it by default, so that a program that serves both holds one.
    model = work.companions.get(settings.meaning[0], work.embedder) if len(settings.meaning) == 1 else work.embedder
    embedder = Embedder(model.path, work.device, "auto", model.checksum, reference=model.reference) if settings.meaning else None
    with work.progress("safety: train", 1) as bar:
        classifier, validated = train_and_validate(examples, settings, embedder)
        bar.advance()
    if classifier.meaning is not None:
        classifier = replace(classifier, meaning=replace(classifier.meaning, embedder=model.reference))
    classifier.save(work.path)
    save_heldout(work.path, examples)
    guard = Guard(GuardSettings(), classifier)
    heldout = rates([example for example in examples if example.split == "heldout"], lambda text: guard.check_input(text).blocked)
    _record(work, heldout, validated)
    for lang, value in classifier.thresholds.items():
        work.metric(f"safety.threshold.{lang}", value)
    own = [example for example in examples if example.split == "train"]
    work.headline("training examples, features", len(own), len(classifier.weights))
    refused = [Refused(*group, "held out", rate.count, rate.items, *rate.interval) for group, rate in heldout.items()]
    refused += [Refused(*group, "cross-validation", rate.count, rate.items, *rate.interval) for group, rate in validated.items()]
    return Classifier(refused=refused, trained_on=_counted(own))


def _record(work: Work, heldout: Rates, validated: Rates) -> None:
    """Figures and lines of what is refused, and a headline for each language: of the held-out requests, where it has any."""
    for prefix, measured in (("", heldout), ("validated_", validated)):
        for (lang, harmful), rate in measured.items():
            name, (low, high) = f"{prefix}{LABELS[harmful]}.{lang}", rate.interval
            for part, value in ((name, rate.value), (f"{name}.low", low), (f"{name}.high", high), (f"{name}.items", rate.items)):
                work.metric(f"safety.{part}", value)
    for (lang, harmful), rate in heldout.items():
        work.log(f"safety: {lang}: {rate.count} of {rate.items} held-out {'harmful' if harmful else 'harmless'} requests are refused")
    for lang in sorted({lang for lang, _ in validated}):
        measured = heldout if (lang, True) in heldout else validated
        shares = [measured[lang, label].value if (lang, label) in measured else None for label in (True, False)]
        work.headline(f"{lang}: harmful, harmless requests refused", *shares)


def _counted(examples: list[Example]) -> dict[str, dict[str, int]]:
    """How many there are by language: harmful ones, harmless ones, and those of the harmless that look like harmful ones."""
    counted = {lang: {"harmful": 0, "harmless": 0, "look_alike": 0} for lang in sorted({example.lang for example in examples})}
    for (lang, harmful, alike), count in Counter((one.lang, one.harmful, bool(one.topic)) for one in examples).items():
        counted[lang]["harmful" if harmful else "harmless"] += count
        if alike and not harmful:
            counted[lang]["look_alike"] += count
    return counted
