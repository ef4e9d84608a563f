"""Japanese, as benchmarks ask in it and models answer."""

import re

ASK = "質問：{question}\n回答："
JOINT = ""
MARKS = re.compile(  # of a text in NFKC
    r"(?:答え|解答|回答|正解)[^。:?\n]{0,20}?(?:は|:)[、,]?|[【\[(*]答え?[】\])*]+|(?:^|\n)答[:\s]|"
    r"(?:正しい|適切な|ふさわしい|適当な)(?:の|もの|選択肢|記号|番号)は[、,]?"
)
_STANDS = r"(?=[^\w・]|$|です|で、|でしょう|とな|にな|と思|と言|ということ)"  # what an answer is followed by; 中にはいった has none
YES = re.compile(rf"(?:はい|イエス){_STANDS}|そうです|正しい(?=です|[。.]|$)|真(?=です|。|$)")
NO = re.compile(rf"いいえ|ノー{_STANDS}|違います|ちがいます|正しくありません|正しくない|偽(?=です|。|$)")
MULTIPLES = {"百": 100, "千": 1000, "万": 10**4, "億": 10**8}
MINUS = re.compile(r"(?<!\d)マイナス\s*$")
FRACTION = re.compile(r"(?P<under>\d+)分の(?P<over>\d+)")
LABELS = "アイウエオカキクケコ"
ENDING = re.compile(r"(?:です|でした|である|だった|だ|でしょう|(?:に|と)なります|(?:に|と)なる)ね?(?=\W|$)")
TOPIC = re.compile(r"^.*[^ぁ-ねは-ん]は、?(?=[^ぁ-ん])")  # 首都は東京; not a は inside a word in hiragana

_DIGITS = {digit: value for value, digit in enumerate("〇一二三四五六七八九")}
_SMALL = {"十": 10, "百": 100, "千": 1000}
_LARGE = {"万": 10**4, "億": 10**8}
_KANJI = "".join([*_DIGITS, *_SMALL, *_LARGE])
_SPELLED = re.compile(f"\\s*(マイナス)?([{_KANJI}]+)(?:分の([{_KANJI}]+))?")


def spelled(text: str) -> float | None:
    """Kanji numerals: 二十三, 三万五千, 一〇二, マイナス五, 三分の二."""
    found = _SPELLED.match(text)
    if not found:
        return None
    value = _kanji(found[2]) if found[3] is None else _kanji(found[3]) / (_kanji(found[2]) or 1)
    return -value if found[1] else value


def _kanji(text: str) -> int:
    total = part = digit = 0
    for sign in text:
        if sign in _DIGITS:
            digit = 10 * digit + _DIGITS[sign]
        elif sign in _SMALL:
            part, digit = part + (digit or 1) * _SMALL[sign], 0
        else:
            total, part, digit = total + (part + digit or 1) * _LARGE[sign], 0, 0
    return total + part + digit
