"""Japanese, as claims are compared: numbers with their units, comparisons, negations, and what says which part a word plays."""

import re

_SPELLED = {
    "km2": "平方キロメートル 平方キロ",
    "m2": "平方メートル",
    "m3": "立方メートル",
    "km": "キロメートル",
    "m": "メートル",
    "cm": "センチメートル センチ",
    "mm": "ミリメートル ミリ",
    "kg": "キログラム",
    "g": "グラム",
    "mg": "ミリグラム",
    "t": "トン",
    "l": "リットル",
    "mi": "マイル",
    "ft": "フィート",
    "in": "インチ",
    "lb": "ポンド",
    "ha": "ヘクタール",
    "%": "パーセント",
    "$": "ドル",
    "€": "ユーロ",
    "¥": "円",
    "kB": "キロバイト",
    "MB": "メガバイト",
    "GB": "ギガバイト",
    "TB": "テラバイト",
    "byte": "バイト",
    "bit": "ビット",
    "W": "ワット",
    "kW": "キロワット",
    "V": "ボルト",
    "Hz": "ヘルツ",
    "th": "番目 位",
    "month": "か月 カ月 ヶ月 ヵ月 箇月",
    "人": "名",
}
_COUNTERS = (
    "キロ 年代 年度 年間 年生 年 月 日間 日 週間 曜日 時間 時 分間 分 秒間 秒 世紀 世帯 世 代目 代 歳 才 つ 人 個 "
    "枚 本 回 度 冊 台 匹 頭 羽 階 号 章 条 点 円 倍 割 番 件 種類 種 箇所 か所 カ所 ヶ所 ヵ所 か国 カ国 ヶ国 ヵ国 校 社 軒 戸 両 隻 機 基 部 期 泊 着 足 曲 話 巻 票 文字 行 "
    "列 歩 周 段 級 次 体 社員 億 万 ページ パーセント ポイント セット 石 里 尺 寸 貫 斤 町 丁目 坪 畳"
)
UNITS = {spelled: name for name, words in _SPELLED.items() for spelled in words.split()} | {
    counter: counter for counter in _COUNTERS.split() if counter not in " ".join(_SPELLED.values()).split()
}
_LONGEST = sorted(UNITS, key=len, reverse=True)
# Any run of katakana, or any one kanji, that does not bound the number.
UNIT = rf"\s?(?:{'|'.join(_LONGEST)})|[\u30a1-\u30fa\u30fc]+|[\u4e00-\u9fff](?<![以未超前後内満])"

# One character of each tells what a word says, in compounds too: 最大, 増加, 北部, 大きい.
_OPPOSED = "初上下前後終左右東西南北内外先次大小高低長短多少強弱新旧古若早遅速広狭重軽深浅遠近厚薄太細男女正負昼夜朝夕始開閉入出買売可禁許増減勝敗超満負全半最等同異昇降拡縮加伸"
COMPARISONS = {
    "以上": ">=",
    "以下": "<=",
    "未満|に満たな[いか]|を?下回|より(?:も)?(?:少な|小さ|低|短)": "<",
    "以内": "<=",
    r"(?<=[\u4e00-\u9fff\u30a0-\u30ff\d%])超(?!え)|を?超え|を?上回|より(?:も)?(?:多|大き|高|長)": ">",
    "以前": "before",
    "以後|以降": "after",
    "から(?!だ)": "from",
    "まで": "until",
    "より": "than",
    "すべて|全て": "全",
    "もっとも|最も": "最",
    r"なければな(?:らな(?:い|かった|く)|りません(?:でした)?|らず)|なくてはな(?:らな(?:い|かった)|りません(?:でした)?)|ねばなら|必要があ": "must",
    f"[{_OPPOSED}]|だけ(?!でな)|のみ(?!なら)|しか|ほとんど|まれに|しばしば|必ず|常に|いつも|たまに|とき(?:どき|おり)": "=",
}
NO_COMPARISON = (
    "だけでな[くい]|のみならず|ばかりでなく|かもしれ(?:ない|ません)|に違い(?:ない|ありません)|に過ぎ(?:ない|ません|ず)|にすぎ(?:ない|ません|ず)|にほかな(?:らない|りません)|"
    "にもかかわらず|にかかわらず|によらず|まず(?!し)|ずつ|はず|いずれ|わずか|みずから|ないし|だから|ことから|により|によって|による|もとより|しかし|しかも|いくつか|どちらか|ではないか"
)
BOUND_FOLLOWS = True
NEGATES_BEFORE = "で?は?ありません(?:でした)?|じゃありません|ません(?:でした)?|ではな[いくか]|でな[いくか]|じゃな[いくか]|(?<![少危切])な(?:い|く|かっ|けれ)(?!う)|なし(?![とたてく])|(?<=[\u3041-\u309f])ず(?=[、。にとも]|$)|ざる|ぬ(?=[。、])"
NEGATES_NEXT = r"[不無非未](?=[\u4e00-\u9fff\u30a1-\u30fa])"
AGENT = r"(?!)"
ROLES = r"[がをに](?=[^\u3041-\u309f]|$)"
CLAUSE = r"(?<=[\u4e00-\u9fff\u30a0-\u30ff])(?:と|や|および|及び|ならびに|または)(?=[\u4e00-\u9fff\u30a0-\u30ff\d])"
SMALL: frozenset[str] = frozenset()

_DIGITS = {kanji: value for value, kanji in enumerate("〇一二三四五六七八九")}
_TENS, _MYRIADS = {"十": 10, "百": 100, "千": 1000}, {"万": 10**4, "億": 10**8, "兆": 10**12}
_NUMERALS = f"[{''.join([*_DIGITS, *_TENS, *_MYRIADS])}]"
_MIXED = re.compile(r"(?<![\d.,])(\d[\d,]*(?:\.\d+)?)([百千]?[万億兆]|千|百)((?:\d[\d,]*(?:\.\d+)?[千百]?[万億兆]?)*)(?![\d,])")
_PART = re.compile(r"(\d[\d,]*(?:\.\d+)?)([千百]?)([万億兆]?)")
_KANJI = re.compile(rf"(?:{_NUMERALS}+(?=(?:{'|'.join(_LONGEST)}))|{_NUMERALS}{{2,}}(?![\u4e00-\u9fff]))")
_MINUS = re.compile(r"(?:マイナス|氷点下|零下)\s*(?=\d)")


def figures(text: str) -> str:
    text = _MIXED.sub(_mixed, text)
    text = _KANJI.sub(lambda match: match[0] if text[match.start() - 1 : match.start()].isdecimal() else _kanji(match[0]), text)
    return _MINUS.sub("-", text)


def _mixed(match: re.Match[str]) -> str:
    """Figures with multiples in kanji (1万5千, 2億3000万)."""
    total, below = 0.0, 0.0
    for number, hundred, myriad in _PART.findall(match[0]):
        below += float(number.replace(",", "")) * (_TENS[hundred] if hundred else 1)
        if myriad:
            total, below = total + below * _MYRIADS[myriad], 0.0
    return f"{total + below:.0f}" if (total + below).is_integer() else str(total + below)


def _kanji(text: str) -> str:
    """The value of a number in kanji, positional (二〇二四) or with multiples (二千二十四, 六百万)."""
    if not any(kanji in _TENS or kanji in _MYRIADS for kanji in text):
        return "".join(str(_DIGITS[kanji]) for kanji in text).lstrip("0") or "0"
    total = below = digit = 0
    for kanji in text:
        if kanji in _MYRIADS:
            total, below, digit = total + (below + digit or 1) * _MYRIADS[kanji], 0, 0
        elif kanji in _TENS:
            below, digit = below + (digit or 1) * _TENS[kanji], 0
        else:
            digit = _DIGITS[kanji]
    return str(total + below + digit)


def stem(word: str) -> str:
    return word
