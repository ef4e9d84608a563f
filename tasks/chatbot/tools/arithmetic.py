"""Finds the arithmetic that a question asks for, in figures or in words, English or Japanese."""

import re
from typing import Any

from tasks.chatbot.tools.calculate import Uncomputable, value_of
from tasks.chatbot.tools.values import MIXED, NUMERALS, kanji_number, mixed_number
from tasks.errors import MigakiError

NUMBER = r"[0-9\uff10-\uff19][0-9\uff10-\uff19.,]*"
KANJI = re.compile(f"{NUMERALS}+")
AMOUNT = rf"({NUMBER})\s*(?:円|ドル)?\s*"
ASKED = "(?:ください|下さい|くれ(?:ますか|る)?|もらえますか|ほしい|値|数|結果|答え)?"
SENTENCES = [  # Japanese puts the verb last: 7に8を足して, 100を7で割ると
    (re.compile(rf"{pattern}(?![0-9\uff10-\uff19])"), sign)  # what goes on with a number is more than this
    for pattern, sign in (
        (rf"{AMOUNT}[にと]\s*{AMOUNT}を\s*(?:(?:足|た)(?:すと|したら|して|した|す)|加え(?:ると|たら|て|た|る)){ASKED}", r"\1+\2"),
        (rf"{AMOUNT}から\s*{AMOUNT}を\s*(?:引|ひ)(?:くと|いたら|いて|いた|く){ASKED}", r"\1-\2"),
        (rf"{AMOUNT}[にと]\s*{AMOUNT}を\s*(?:掛|か)け(?:ると|たら|て|た|る){ASKED}", r"\1*\2"),
        (rf"{AMOUNT}を\s*{AMOUNT}で\s*(?:割|わ)(?:ると|ったら|って|った|る){ASKED}", r"\1/\2"),
        (rf"{AMOUNT}の\s*({NUMBER})\s*[%\uff05]\s*(?:引き?|オフ|割引)", r"\1*(1-\2/100)"),
        (rf"{AMOUNT}の\s*({NUMBER})\s*割引き?", r"\1*(1-\2/10)"),
        (rf"{AMOUNT}の\s*({NUMBER})\s*割(?![りるっ])", r"\1*\2/10"),
    )
]
WORDS = [
    (re.compile(pattern, re.I), sign)
    for pattern, sign in (
        (rf"({NUMBER})\s*(?:円|ドル|yen\b|dollars?\b)", r"\1"),
        (rf"({NUMBER})\s*(?:percent|パーセント|\uff05)", r"\1%"),
        (rf"({NUMBER})\s*の\s*({NUMBER})\s*%", r"\2% of \1"),
        (rf"({NUMBER})\s*の\s*({NUMBER})\s*乗", r"\1**\2"),
        (rf"({NUMBER})\s*の\s*平方根|(?:the )?square root of\s+({NUMBER})|ルート\s*({NUMBER})", lambda m: f"sqrt({m[1] or m[2] or m[3]})"),
        (rf"({NUMBER})\s*の\s*(?:二乗|2乗)|({NUMBER})\s+squared", lambda m: f"{m[1] or m[2]}**2"),
        (rf"({NUMBER})\s+cubed", r"\1**3"),
        (r"\s+to the power of\s+", "**"),
        (r"\s+(?:multiplied by|times)\s+|掛ける|かける", "*"),
        (r"\s+divided by\s+|割る|わる", "/"),
        (r"\s+plus\s+|足す|たす|プラス", "+"),
        (r"\s+minus\s+|引く|ひく|マイナス", "-"),
        (r"\s+(?:mod|modulo)\s+", " % "),
    )
]
LEAD = re.compile(
    r"^(?:(?:please|ok(?:ay)?|hey|hi|so|and|then|now|also|can you|could you|tell me|calculate|compute|evaluate|work out|solve|"
    r"what(?:'s|’s| is| are)|how much (?:is|are)|the (?:result|value|answer|product|sum)(?: of)?|give me|find|では|じゃあ|それと|あと|次の式)(?![a-z])\s*[:\uff1a,、を]?\s*)+",
    re.I,
)
TAIL = re.compile(
    r"(?:\s+(?:please|for me|equals?|is))*\s*=?\s*"
    r"(?:は|って|の(?:答え|結果|値|計算)は?|を)?(?:いくつ|いくら|何|なに)?(?:になり(?:ます)?|になる|です|でしょう|なの)?か?"
    r"、?(?:を?(?:計算|求め|教え)(?:して|て)?(?:ください|下さい|くれ(?:ますか|る)?|もらえますか|ほしい)?)?\s*[?\uff1f。.!\uff01]*\s*$",
    re.I,
)
CLAUSES = re.compile(r"[?\uff1f;\n。]+|[,、]\s+|、|\s+and\s+(?=[^a-z]|what|calc|comp|sq)|\.\s+|(?<=[0-9)])と(?=[0-9(])", re.I)
DATE = re.compile(r"\d{4}-\d{1,2}(?:-\d{1,2})?|\d{1,4}/\d{1,2}/\d{1,4}|\d+-\d+-\d+(?:-\d+)*")
OPERATES = re.compile(
    r"[0-9\uff10-\uff19.)%²³\uff09\s](?:\*\*|//|[-+*/%^×÷\uff0b\uff0a\uff0f−–\uff0d]|\s[xX]\s)|%\s*of|[²³√]|\b(?:sqrt|sin|cos|tan|log|exp|floor|ceil|round|abs|min|max)\s*\(",
    re.I,
)


def arithmetic_asked(question: str) -> list[dict[str, Any]]:
    """The expressions that a question wants to have computed. A clause counts that is nothing else; a date or a range of years does not."""
    text = MIXED.sub(lambda match: str(mixed_number(match[0])), question[:1000])
    text = KANJI.sub(lambda match: str(kanji_number(match[0])), text)
    for pattern, sign in SENTENCES:
        text = pattern.sub(sign, text)
    found = (_expression(clause) for clause in CLAUSES.split(text))
    return [{"expression": expression} for expression in dict.fromkeys(found) if expression]


def _expression(clause: str) -> str | None:
    text = TAIL.sub("", LEAD.sub("", clause.strip()))
    for pattern, sign in WORDS:
        text = pattern.sub(sign, text)
    text = text.strip()
    if not OPERATES.search(text) or DATE.fullmatch(text):
        return None
    try:
        value_of(text)
    except Uncomputable:  # the call will say why
        return text
    except MigakiError:
        return None
    return text
