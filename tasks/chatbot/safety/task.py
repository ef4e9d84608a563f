"""The stage safety: train the classifier of harmful requests and measure it on the examples put aside."""

from dataclasses import replace

from storage.artifacts import ArtifactRef
from storage.kinds import Classifier
from tasks.chatbot.safety.guard import Guard
from tasks.chatbot.safety.settings import ClassifierSettings, GuardSettings
from tasks.chatbot.safety.training import rates, read_examples, save_heldout, train
from tasks.rag.embedding import Embedder
from tasks.stages.work import Work

LABELS = {True: "refused", False: "over_refused"}


def safety(settings: ClassifierSettings, inputs: dict[str, ArtifactRef], work: Work) -> Classifier:
    """Train on the rows of the files named; report how many held-out requests the whole filter refuses, harmful and harmless, by language."""
    examples = read_examples(settings)
    # As the index has it by default, so that a program that serves both holds one.
    model = work.companions.get(settings.meaning[0], work.embedder) if len(settings.meaning) == 1 else work.embedder
    embedder = Embedder(model.path, work.device, "auto", model.checksum, reference=model.reference) if settings.meaning else None
    with work.progress("safety: train", 1) as bar:
        classifier = train(examples, settings, embedder)
        bar.advance()
    if classifier.meaning is not None:
        classifier = replace(classifier, meaning=replace(classifier.meaning, embedder=model.reference))
    classifier.save(work.path)
    save_heldout(work.path, examples)
    guard = Guard(GuardSettings(), classifier)
    measured: dict[str, float] = {}
    heldout = [example for example in examples if example.split == "heldout"]
    for (lang, harmful), rate in rates(heldout, lambda text: guard.check_input(text).blocked).items():
        name, (low, high) = f"{LABELS[harmful]}.{lang}", rate.interval
        for part, value in ((name, rate.value), (f"{name}.low", low), (f"{name}.high", high), (f"{name}.items", rate.items)):
            work.metric(f"safety.{part}", value)
        measured[name] = rate.value
        work.log(f"safety: {lang}: {rate.count} of {rate.items} held-out {'harmful' if harmful else 'harmless'} requests are refused")
    for lang, value in classifier.thresholds.items():
        work.metric(f"safety.threshold.{lang}", value)
    work.headline("examples, features", len(examples), len(classifier.weights))
    return Classifier(rates=measured)
