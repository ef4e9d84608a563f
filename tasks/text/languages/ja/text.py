"""Japanese, as text that is read, searched, measured and prompted."""

import re

LETTERS = re.compile(r"[\u3005\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f]")
ANY_LETTER = re.compile(r"[^\W\d_]")
SHARE = 0.05  # an English page that names one Japanese word stays English; 「from_pretrainedとは」 is Japanese

# The ? of an address and the point of a number end nothing.
SENTENCE_END = r"""(?:[。｡！？]|[!?](?![\w&=/%-])|[!?](?=[^\x00-\x7f])|(?<![0-9０-９])．|．(?![0-9０-９])|(?<=[a-z)\]])\.(?=\s+["'(\[]?[A-Z぀-鿿]))+["'’]*"""
SENTENCE_MARKS = "。｡！？!?．."
BRACKETS = dict(zip("「『【〈《〔(（[［“｢", "」』】〉》〕)）]］”｣", strict=True))
CLAUSE_MARKS = "、"

CHARACTERS = r"\u3005\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
# Runs of kanji or katakana are words, mostly, or names: matched whole they say more than the pairs they share with others.
WHOLE = r"[\u30a0-\u30ff]{2,}|[\u3005\u3400-\u9fff\uf900-\ufaff]{2,}"
ASKING = re.compile(
    r"(とは|って|は)?(何|なに|なん)(のこと)?(です|でしょう)?か?[。??]*$|(について|を)?(簡単に|詳しく)?(教えて|説明して)(ください|もらえますか|くれますか)?[。??]*$"
)
HIRAGANA = re.compile(r"[\u3040-\u309f]+")
KATAKANA = re.compile(r"[\u30a1-\u30ff]+")
NUMERALS = re.compile("[一二三四五六七八九十百千]{2}")
ENDS_A_WORD, BEGINS_A_WORD = 5, 3  # katakana: so long a word is hardly the end, or the beginning, of a longer one by chance
GRAMMAR = 0.5  # what hiragana counts for, mostly grammar; chosen on JaQuAD
FUNCTION = re.compile(rf"{HIRAGANA.pattern}|[a-z0-9]+{HIRAGANA.pattern}|{HIRAGANA.pattern}[a-z0-9]+")  # and where it meets a Latin word

WORDS_APART = False

REFUSALS = re.compile(
    r"(できません|お答えでき(ません|かねます)|わかりません|分かりません|申し訳(ありません|ございません)|お手伝いできません)"
)
WITH_NOTES = "次の資料をもとに質問に答えてください。\n\n{context}\n\n質問: {question}"

DENSE_WEIGHT = 0.5
DENSE_WEIGHTS = {"multilingual-e5": 0.6, "all-minilm-l6-v2": 0.1}
CONFIDENCE = {
    "bias": -4.648,
    "subject": 9.057,
    "sentence": 3.337,
    "contrast": 6.848,
    "companion": 0.0,
    "chunk_cover": 4.52,
    "sentence_cover": 0.0,
    "score_gap": 0.0,
    "least": 0.27,
    "sure": 0.52,
}
SAMPLE = (
    "図書館は月曜日を除き、午前九時から午後六時まで開いています。",
    "小型スクーターの充電にはどのくらい時間がかかりますか。",
    "五千ドルを超える請求書には、管理者二名の署名が必要です。",
    "勾配が大きくなりすぎたときは、最適化の前に切り詰めます。",
    "この橋は洪水で橋脚を二本失い、1931年に架け直された。",
    "はい。",
    "初期化するには、赤いランプがつくまで二つのボタンを十秒間押し続け、再起動を待ちます。設定は消えますが、録音はカードに残ります。",
    "日陰で育つ植物は、日なたで育つものより葉が広い。",
)


def likeness(text: str) -> float:
    own = len(LETTERS.findall(text))
    letters = len(ANY_LETTER.findall(text)) if own else 0
    return min(1.0, own / max(1, letters)) if own and own >= SHARE * letters else 0.0


def stem(word: str) -> str | None:
    return None


def weight(term: str) -> float:
    return GRAMMAR if HIRAGANA.fullmatch(term) else 1.0


def is_function(term: str) -> bool:
    return bool(FUNCTION.fullmatch(term))


def stands(part: str, before: str, after: str) -> bool:
    """Katakana words are written together (サブワードトークン), so a long one counts inside of a run; a short one (キー in スキー and キーワード,
    テキスト in コンテキスト) may be there by chance. Kanji count anywhere, but for a numeral inside a longer number (八 in 十八)."""
    if KATAKANA.fullmatch(part):
        return (not before or len(part) >= ENDS_A_WORD) and (after in ("", "ー") or len(part) >= BEGINS_A_WORD)
    return not (NUMERALS.fullmatch(before[-1:] + part[0]) or NUMERALS.fullmatch(part[-1] + after[:1]))
