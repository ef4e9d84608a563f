"""Ways to write a sentence otherwise that leave it true, and ways to make another claim of it; used by `citations.py`.

Each takes a sentence, the chunk it stands in, a source of chance and the language, and gives another sentence, or None where it finds nothing.
"""

import random
import re
import unicodedata

from tasks.text.sentences import sentences

LENGTH = {"en": (40, 320), "ja": (15, 130)}
NUMBER = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\w.,-])\d+(?:\.\d+)?(?![\w,.]\d|[A-Za-z])")
JA_NUMBER = re.compile(r"(?<![\d.,A-Za-z])\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\d.,A-Za-z-])\d+(?:\.\d+)?(?![\d.,A-Za-z])")

# True sentences.

WIDE = {ord(narrow): chr(ord(narrow) + 0xFEE0) for narrow in "0123456789%"}
EN_WORDS = dict(
    zip(map(str, range(2, 13)), ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"), strict=True)
)
JA_WORDS = {str(i): kanji for i, kanji in enumerate("一二三四五六七八九十", 1)}


def figures(sentence: str, source: str, draw: random.Random, lang: str) -> str | None:
    ways = [
        lambda text: re.sub(r"(?<![A-Za-z\d.,(-])\d+(?:[.,]\d+)*%?(?![A-Za-z)-])", lambda match: match[0].translate(WIDE), text),
        lambda text: re.sub(r"(?<=\d),(?=\d{3})", "", text),
        lambda text: re.sub(r"(?<![\d.,])\d{5,7}(?![\d.,])", lambda match: f"{int(match[0]):,}", text),
    ]
    if lang == "en":
        ways += [
            lambda text: re.sub(r"(?<![\w.,-])(?:[2-9]|1[0-2])(?= [a-z]{4})", lambda match: EN_WORDS[match[0]], text),
            lambda text: re.sub(
                r"\b(" + "|".join(EN_WORDS.values()) + r")\b(?= [a-z]{4})",
                lambda m: next(k for k, v in EN_WORDS.items() if v == m[0]),
                text,
            ),
        ]
    else:
        ways.append(lambda text: re.sub(r"(?<![\d.,第])(?:[1-9]|10)(?=[人つ個回年])", lambda match: JA_WORDS[match[0]], text))
        ways.append(lambda text: re.sub(r"(?<!\d)(\d{1,4})万(?!\d)", r"\g<1>0000", text))
    draw.shuffle(ways)
    return next((changed for way in ways if (changed := way(sentence)) != sentence), None)


EN_STYLE = [
    (r"\b(is|was|are|were|do|does|did|could|would|should|has|have|had) not\b", r"\1n't"),
    (r"(\d) ?%", r"\1 percent"),
    (r"(\d) (?:km|kilometres|kilometers)\b", r"\1 kilometers"),
    (r"(\d) percent\b", r"\1%"),
    (r"\bmore than (?=\d)", "over "),
    (r"[“”]", '"'),
    (r"^(However|Moreover|Therefore|In addition|Furthermore|Also), ", ""),
]
JA_STYLE = [
    (r"であった。$", "でした。"), (r"である。$", "です。"), (r"ではない。$", "ではありません。"), (r"している。$", "しています。"), (r"れている。$", "れています。"),
    (r"れた。$", "れました。"), (r"した。$", "しました。"), (r"なった。$", "なりました。"), (r"する。$", "します。"), (r"れる。$", "れます。"), (r"がある。$", "があります。"),
    (r"できない。$", "できません。"), (r"れない。$", "れません。"), (r"しない。$", "しません。"), (r"です。$", "である。"), (r"しました。$", "した。"), (r"います。$", "いる。"),
    (r"なかった。$", "ませんでした。"), (r"れなかった。$", "れませんでした。"),
]  # fmt: skip


def style(sentence: str, source: str, draw: random.Random, lang: str) -> str | None:
    for pattern, said in EN_STYLE if lang == "en" else JA_STYLE:
        changed = re.sub(pattern, said, sentence)
        if changed != sentence and "さなかった" not in sentence:
            return changed[0].upper() + changed[1:]
    return None


ENDS = {"し": "した", "され": "された", "であり": "である", "って": "った"}


def dropped(sentence: str, source: str, draw: random.Random, lang: str) -> str | None:
    """Without a parenthesis, an apposition, a relative clause or what leads in; in English the end after a comma too."""
    if lang == "ja":
        ways = [r" ?[(（][^()（）]{2,40}[)）](?! [^ ])", r"^[^、。「」]{4,25}(?:ため|ので|から|際|後|とき|時|場合)(?:に|は)?、", r"(?<=[はが]、)[^、。「」はが]{4,30}(?:し|であり|され|って|て|で|く)、",
                r"^(?:しかし|また|そして|さらに|なお|ただし|そのため)、?", r"(?:し|され|であり|て|って)、[^。「」]{6,40}(?=。$)"]  # fmt: skip
    else:
        ways = [r" \([^()]{3,60}\)", r", (?:which|who|where) [^,.;()]{5,80},(?= (?:is|was|are|were|has|had|have)\b)", r"(?<=\w), an? [^,.;()]{5,60},(?= (?:is|was|are|were|has|had|have)\b)",
                r"^(?:In|During|After|Before|When|As|Since|By) [^,.;()]{4,60}, (?=[a-zA-Z]+ [a-z]+ )", r", (?:which|who|where|while|although|but|and|with|including) [^.;()]{8,120}(?=\.$)"]  # fmt: skip
    draw.shuffle(ways)
    for way in ways:
        changed = re.sub(way, "", sentence, count=1)
        if changed == sentence or len(changed) < LENGTH[lang][0] * 0.6:
            continue
        if lang == "ja" and way.endswith("(?=。$)"):  # the clause that is now the last one ends the sentence
            cut = re.search(way, sentence)
            end = ENDS.get(cut[0].partition("、")[0], "") if cut else ""
            changed = f"{sentence[: cut.start()]}{end}。" if cut and end else ""
        if changed:
            return changed[0].upper() + changed[1:]
    return None


JOINS = [("であった。", "であり、"), ("である。", "であり、"), ("された。", "され、"), ("した。", "し、"), ("している。", "しており、"), ("されている。", "されており、"), ("です。", "で、"), ("する。", "し、"), ("なった。", "なり、"), ("がある。", "があり、")]  # fmt: skip


def joined(sentence: str, source: str, draw: random.Random, lang: str) -> str | None:
    _, found, rest = source.partition(sentence)
    following = next((s for s in sentences(rest.strip()) if LENGTH[lang][0] / 2 <= len(s) <= LENGTH[lang][1] * 0.6), "") if found else ""
    if not following or len(sentence) > LENGTH[lang][1] * 0.6:
        return None
    if lang == "en":
        word = following.split()[0]
        low = (
            following
            if word.isupper() or word not in ("The", "It", "This", "In", "He", "She", "They", "These", "A", "However")
            else following[0].lower() + following[1:]
        )
        return f"{sentence.rstrip('.')}{draw.choice([', and ', '; ', ', while '])}{low}" if sentence.endswith(".") else None
    return next((sentence.removesuffix(end) + bridge + following for end, bridge in JOINS if sentence.endswith(end)), None)


# Changed ones.


def numbers_of(text: str, lang: str) -> list[re.Match[str]]:
    return [match for match in (NUMBER if lang == "en" else JA_NUMBER).finditer(text) if text[match.start() - 1 : match.start()] != "["]


def value(number: str) -> str:
    return unicodedata.normalize("NFKC", number).replace(",", "")


def absent(sentence: str, source: str, draw: random.Random, lang: str) -> str | None:
    found = numbers_of(sentence, lang)
    if not found:
        return None
    match, held = draw.choice(found), {value(other[0]) for other in numbers_of(source, lang)}
    number = value(match[0])
    for _ in range(20):
        step = draw.choice([1, 2, 3, 5, 7, 10, 11, 20])
        other = (
            f"{float(number) + step:.{len(number.partition('.')[2])}f}" if "." in number else str(int(number) + draw.choice([step, -step]))
        )
        other = f"{int(other):,}" if "," in match[0] else other
        if value(other) not in held and not other.startswith("-") and other != "0" and (len(other) == len(match[0])):
            return sentence[: match.start()] + other + sentence[match.end() :]
    return None


def elsewhere(sentence: str, source: str, draw: random.Random, lang: str) -> str | None:
    found = numbers_of(sentence, lang)
    draw.shuffle(found)
    for match in found:
        others = sorted({other[0] for other in numbers_of(source, lang) if value(other[0]) != value(match[0])})
        alike = [other for other in others if len(other) == len(match[0])] or others
        if alike:
            return sentence[: match.start()] + draw.choice(alike) + sentence[match.end() :]
    return None


UNITS = {
    "en": [["km", "miles", "metres", "feet", "m", "kilometres", "meters", "ft", "inches", "cm", "mm"], ["%", "percent", "million", "billion", "thousand"], ["hours", "minutes", "days", "weeks", "months", "years", "seconds"],
           ["kg", "tons", "tonnes", "pounds", "g"], ["$", "£", "€", "¥"], ["MB", "GB", "KB", "TB"], ["people", "percent"], ["°C", "°F", "K"]],
    "ja": [["メートル", "キロメートル", "km", "m", "cm", "センチメートル", "マイル", "フィート"], ["%", "人", "倍", "万人", "億人"], ["年間", "か月", "日間", "時間", "分", "秒"], ["kg", "トン", "グラム", "t", "g"], ["円", "ドル", "ユーロ", "万円"],
           ["年", "世紀"], ["月", "日"], ["つ", "倍"], ["回", "人", "本", "台", "個", "件"], ["度", "%"], ["歳", "年"]],
}  # fmt: skip


def unit(sentence: str, source: str, draw: random.Random, lang: str) -> str | None:
    """Another unit, or a minus before a number."""
    found = numbers_of(sentence, lang)
    if found and draw.random() < 0.2:
        match = draw.choice(found)
        if len(match[0]) != 4 and sentence[match.start() - 1 : match.start()] not in ("第", "-", "–", "〜", "/"):
            return f"{sentence[: match.start()]}{'マイナス' if lang == 'ja' and draw.random() < 0.5 else '-'}{sentence[match.start() :]}"
    groups = [(units, used) for units in UNITS[lang] for used in units]
    draw.shuffle(groups)
    for units, used in groups:
        place = re.search(
            rf"{re.escape(used)}(?=\d)"
            if used in "$£€¥"
            else rf"(?<=\d){' ?' if lang == 'en' else ''}{re.escape(used)}(?![A-Za-z間代ァ-ー])",
            sentence,
        )
        if place:
            space = " " if place[0].startswith(" ") else ""
            other = draw.choice([other for other in units if other != used and {other, used} not in ({"%", "percent"}, {"m", "metres"}, {"m", "meters"}, {"km", "kilometres"}, {"ft", "feet"}, {"metres", "meters"}, {"tons", "tonnes"}, {"m", "メートル"}, {"km", "キロメートル"}, {"cm", "センチメートル"}, {"t", "トン"}, {"g", "グラム"})])  # fmt: skip
            return sentence[: place.start()] + space + other + sentence[place.end() :]
    return None


EN_NAME = re.compile(r"(?<!^)(?<![.!?\"“] )(?!What)\b[A-Z][\w’'-]*(?: (?:of (?:the )?)?[A-Z][\w’'-]*)*")
JA_NAME = re.compile(r"[ァ-ヴー]{3,}(?:・[ァ-ヴー]+)*|[一-鿿]{2,6}(?=[はがをにのへと])|[一-鿿]{2,5}(?=氏|市|県|大学|駅)")


def names(sentence: str, source: str, draw: random.Random, lang: str) -> str | None:
    """Two names in each other's places; not two of a list, where that says the same."""
    found = list((EN_NAME if lang == "en" else JA_NAME).finditer(sentence))
    pairs = [(a, b) for i, a in enumerate(found) for b in found[i + 1 :] if a[0] not in b[0] and b[0] not in a[0]]
    draw.shuffle(pairs)
    for a, b in pairs:
        between = sentence[a.end() : b.start()]
        if (
            re.search(
                r"\b(?:is|was|are|were|in|by|to|from|than|of|with|for|at|on|[a-z]+ed)\b" if lang == "en" else r"[はがをにへ]|より|から",
                between,
            )
            and len(between) > 2
        ):
            return sentence[: a.start()] + b[0] + between + a[0] + sentence[b.end() :]
    return None


EN_NOT = [
    (r"\b(is|was|are|were|can|could|should|would|will|must|did|does|do|has|have|had) not (?!only)", r"\1 "),
    (r"\bcannot\b", "can"),
    (r"\b(\w+)n't ", r"\1 "),
    (r"\bnever ", ""),
    (r"\bno (?=[a-z])", "a "),
    (r"\bwithout\b", "with"),
]
EN_ADD = [
    (r"\b(is|was|are|were|can|could|should|would|will|must) (?!not|no\b)", r"\1 not "),
    (r"\b(has|have|had) (?=been |become )", r"\1 not "),
    (r"\bwith\b", "without"),
    (r"(?<=[a-z] )(?=(?:won|became|built|made|led|found|used)\b)", "never "),
]
JA_NOT = [(r"されていない", "されている"), (r"していない", "している"), (r"ではない", "である"), (r"できない", "できる"), (r"されない", "される"), (r"しない", "する"), (r"されなかった", "された"), (r"しなかった", "した"), (r"ではなかった", "であった"),
          (r"(?<!しれ)(?<!なり)ません。", "ます。"), (r"がない", "がある"), (r"はない(?!か)", "はある"), (r"られない", "られる"), (r"わない", "う"), (r"不可能", "可能"), (r"ではなく", "であり"), (r"せず", "して")]  # fmt: skip
JA_ADD = [(r"されている(?=。)", "されていない"), (r"している(?=。)", "していない"), (r"である(?=。)", "ではない"), (r"であった(?=。)", "ではなかった"), (r"された(?=。)", "されなかった"), (r"した(?=。)", "しなかった"), (r"する(?=。)", "しない"), (r"される(?=。)", "されない"),
          (r"できる(?=。)", "できない"), (r"がある(?=。)", "はない"), (r"です(?=。)", "ではありません"), (r"ます(?=。)", "ません"), (r"であり、", "ではなく、"), (r"られる(?=。)", "られない"), (r"可能", "不可能")]  # fmt: skip


def negation(sentence: str, source: str, draw: random.Random, lang: str) -> str | None:
    """One taken where there is one, else one added."""
    taken, added = (EN_NOT, EN_ADD) if lang == "en" else (JA_NOT, JA_ADD)
    ways = taken if any(re.search(pattern, sentence) for pattern, _ in taken) else draw.sample(added, len(added))
    return next((changed for pattern, said in ways if (changed := re.sub(pattern, said, sentence, count=1)) != sentence), None)


EN_PAIRS = (
    "more/less more/fewer most/least larger/smaller largest/smallest higher/lower highest/lowest longer/shorter longest/shortest greater/smaller older/younger earlier/later before/after at least/at most over/under above/below "
    "faster/slower increase/decrease increased/decreased increases/decreases rise/fall rose/fell first/last early/late high/low large/small long/short better/worse best/worst stronger/weaker minimum/maximum north/south east/west "
    "northern/southern eastern/western many/few all/some always/never up/down upper/lower oldest/newest majority/minority"
)
JA_PAIRS = (
    "以上/以下 以下/未満 未満/以上 以前/以後 以降/以前 超え/下回 より多/より少な より高/より低 より大き/より小さ 最大/最小 最高/最低 最初/最後 最多/最少 増加/減少 上昇/下降 拡大/縮小 長い/短い 高い/低い 大きい/小さい 大きな/小さな 強い/弱い 早い/遅い 広い/狭い 多く/少なく 高く/低く 長く/短く 大きく/小さく "
    "前に/後に 北部/南部 東部/西部 北/南 東側/西側 上/下 増え/減っ 勝利/敗北 開始/終了 まで/から 多数/少数 最古/最新 最長/最短 前半/後半"
)


def comparison(sentence: str, source: str, draw: random.Random, lang: str) -> str | None:
    pairs = [
        pair
        for both in (re.findall(r"(?:at \w+|[^/ ]+)/(?:at \w+|[^/ ]+)", EN_PAIRS if lang == "en" else JA_PAIRS))
        for pair in (both.split("/"), both.split("/")[::-1])
    ]
    found = [
        (one, other)
        for one, other in pairs
        if re.search(rf"\b{one}\b" if lang == "en" else rf"(?<![一-鿿]){one}(?![一-鿿])" if len(one) == 1 else one, sentence)
    ]
    if not found:
        return None
    one, other = draw.choice(found)
    return re.sub(rf"\b{one}\b" if lang == "en" else one, other, sentence, count=1)
