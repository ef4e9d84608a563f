"""English, as prompts of the library are put and judged."""

import re

STEP_BY_STEP = "Let's think step by step."
STEPS = "Work in these steps:"
ONE_LINE = "Answer in one line."
JSON = "Answer with one JSON value that fits this schema, and nothing else: {schema}"
YES_NO = {"yes": "yes", "no": "no"}

INSTRUCTS = re.compile(
    r"\b(answer|summari[sz]e|rewrite|rephrase|translate|classify|solve|choose|compare|judge|rate|list|write|explain|extract|find|decide|say|tell|give|"
    r"correct|describe|review|sort|name)\b",
    re.I,
)
FORMATS = re.compile(
    r"\b(format|json|yaml|markdown|table|bullets?|bullet points?|lines?|list|number|letter|word|sentences?|paragraphs?|yes or no)\b|[\"'`]\w+:",
    re.I,
)
LIMITS = re.compile(
    r"\b(only|at most|at least|no more than|up to|less than|without|do not|don't|never|nothing else|exactly|in (?:one|two|three|four|five|\d+))\b|\b\d+ "
    r"(?:words|sentences|lines|points|bullets|characters)\b",
    re.I,
)
