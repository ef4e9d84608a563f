"""The guard of the chatbot: what may be asked, said and looked up.

Rules name the reason, and decide where there is no classifier. Where one was trained it decides, with what the rules see among its features;
only what no context excuses is refused without asking it. Nothing here keeps text: a decision
has a code, a score and a language, and whoever asked writes it down.
"""

from dataclasses import dataclass

from tasks.chatbot.safety import injection, personal
from tasks.chatbot.safety.classifier import Classifier
from tasks.chatbot.safety.rules import certain, code_of, harmful_answer, signals, topic
from tasks.chatbot.safety.settings import GuardSettings
from tasks.text.detection import detect


@dataclass(frozen=True)
class Decision:
    """What a filter thinks of a text. `code` is "" where it found nothing; found but not `blocked`, the text may pass and is written down.

    `score` is the probability that a request is harmful, 1.0 where a rule decided.
    """

    blocked: bool
    code: str
    score: float
    lang: str


class Guard:
    """The filters with their settings and, if there is one, the classifier, with its artifact. Safe to use from several threads at once."""

    def __init__(self, settings: GuardSettings | None = None, classifier: Classifier | None = None, version: str = ""):
        self.settings, self.classifier, self.version = settings or GuardSettings(), classifier, version

    def check_input(self, text: str) -> Decision:
        """Whether a request is harmful. An order to forget earlier instructions is noted, not blocked: a user may change their mind."""
        lang = detect(text)
        code, score = self._harm(text, lang) if self.settings.harm != "off" else ("", 0.0)
        if code:
            return Decision(self.settings.harm == "block", code, score, lang)
        steering = injection.find(text) if self.settings.injection != "off" else None
        return Decision(False, steering or "", 1.0 if steering else score, lang)

    def _harm(self, text: str, lang: str) -> tuple[str, float]:
        """(code, score) of a request. A classifier that was trained before its language came leaves it to the rules."""
        seen = signals(text)
        if self.classifier is None or lang not in self.classifier.thresholds or certain(seen):
            code = code_of(seen)
            return code, float(bool(code))
        score = self.classifier.score(text)
        return (code_of(seen) or topic(seen), score) if score >= self.classifier.thresholds[lang] else ("", score)

    def check_output(self, text: str, known: str = "") -> Decision:
        """Whether an answer gives directions to do harm, or personal data that stand not in `known` (the question, the sources)."""
        lang = detect(text)
        if self.settings.harm != "off" and (code := harmful_answer(text)):
            return Decision(self.settings.harm == "block", code, 1.0, lang)
        leaks = personal.leaked(text, known) if self.settings.personal != "off" else []
        return Decision(bool(leaks) and self.settings.personal == "block", leaks[0].code if leaks else "", float(bool(leaks)), lang)

    def clean_output(self, text: str, known: str = "") -> str:
        """An answer as it may be shown: without personal data, where the settings say so."""
        return personal.redact(text, known) if self.settings.personal == "redact" else text

    def check_document(self, text: str) -> Decision:
        """Whether a text that was looked up tries to steer the model. `as_data` makes it harmless; blocked, it is to be left out."""
        code = injection.find(text) if self.settings.injection != "off" else None
        return Decision(code is not None and self.settings.injection == "block", code or "", float(code is not None), detect(text))
