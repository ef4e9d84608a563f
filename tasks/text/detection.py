"""English or Japanese, told by the script alone."""

import re

JAPANESE = re.compile(r"[\u3005\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f]")
LETTER = re.compile(r"[^\W\d_]")
SHARE = 0.05  # an English page that names one Japanese word stays English; 「from_pretrainedとは」 is Japanese


def detect(text: str) -> str:
    """ "ja" if at least one letter in twenty is kana or kanji, else "en"."""
    japanese = len(JAPANESE.findall(text))
    return "ja" if japanese and japanese >= SHARE * len(LETTER.findall(text)) else "en"
