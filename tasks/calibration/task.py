"""The stage calibrate: the confidence of an index, fitted on the team's own questions."""

from collections.abc import Sequence

import numpy as np

from storage.artifacts import ArtifactRef
from storage.calibrated import Calibrated, Ends
from storage.kinds import Calibration
from tasks.calibration.asking import cases
from tasks.calibration.fitting import Case, by_language, curve, ended, fit, out_of_fold, probabilities, with_thresholds
from tasks.calibration.settings import CalibrateSettings
from tasks.data.records import load_questions
from tasks.data.twins import groups_of
from tasks.rag.confidence import BUNDLED, FEATURES
from tasks.rag.confidence import Calibration as Fitted
from tasks.rag.task_opening import open_retriever
from tasks.stages.work import Work, require


def calibrate(settings: CalibrateSettings, inputs: dict[str, ArtifactRef], work: Work) -> Calibration:
    """Ask the index the team's questions, as it is and without the documents that answer them, and fit the confidence of each language."""
    index = require(inputs, "index", "index")
    retriever = open_retriever(inputs, work)
    there = set(retriever.chunks["document"].to_pylist())
    known = [question for question in load_questions(work.open(require(inputs, "dataset", "prepare"))) if question.document]
    questions = [question for question in known if question.document in there]
    if len(questions) < len(known):
        work.log(f"calibrate: {len(known) - len(questions)} of {len(known)} questions are about documents that the index does not hold")
    found: list[Case] = []
    with work.progress("calibrate", len(questions)) as bar:
        asked = retriever.meaning.ask([question.question for question in questions]) if questions else []
        for question, vectors in zip(questions, asked, strict=True):
            found += cases(retriever, question, vectors, groups_of(questions))
            bar.advance()
    own = by_language(found)
    languages = {lang: _calibrated(own.get(lang, []), bundled, settings) for lang, bundled in BUNDLED.items()}
    for lang, made in languages.items():
        if made.before and made.after:
            work.headline(f"questions told apart from those that nothing answers (AUROC, {lang})", made.before.auroc, made.after.auroc)
            for name in ("turned_away", "told", "unsure", "auroc"):
                work.metric(f"calibrate.{name}.{lang}", getattr(made.after, name))
    return Calibration(index=index.id, languages=languages)


def _calibrated(own: Sequence[Case], bundled: Fitted, settings: CalibrateSettings) -> Calibrated:
    """The calibration of a language, and what it makes of its questions: told by the other folds."""
    fitted = fit(own, bundled, settings.strength)
    questions = len({case.question_id for case in own})
    if fitted is bundled:
        return _record(bundled, questions)
    held_out = out_of_fold(own, bundled, settings.folds, settings.strength)
    fitted = with_thresholds(fitted, own, held_out, settings.unsure)
    before = probabilities(np.array([case.signs for case in own]), bundled)
    ends = ended(own, before, bundled), ended(own, held_out, fitted)
    return _record(fitted, questions, *ends, (curve(own, before), curve(own, held_out)))


def _record(
    fitted: Fitted,
    questions: int,
    before: Ends | None = None,
    after: Ends | None = None,
    curves: tuple[list[tuple[float, float]], list[tuple[float, float]]] | None = None,
) -> Calibrated:
    weights = dict(zip(FEATURES, fitted.weights, strict=True))
    return Calibrated(fitted.bias, weights, fitted.least, fitted.sure, questions, before, after, curves)
