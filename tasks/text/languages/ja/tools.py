"""Japanese, as questions put it that tools answer: numbers, times, places, what a question has in common with a tool, and a call's arguments."""

import re
from typing import ClassVar

FIGURE = r"[0-9\uff10-\uff19][0-9\uff10-\uff19.,]*"

SCALES: dict[str, int] = {}
PERCENT = "パーセント"
LONE = r"\u4e00-\u9fff"
LONGEST = 15  # kanji of a number
DIGITS = {kanji: value for value, kanji in enumerate("〇一二三四五六七八九")}
TENS, MYRIADS = {"十": 10, "百": 100, "千": 1000}, {"万": 10**4, "億": 10**8, "兆": 10**12}
NUMERALS = f"[{''.join([*DIGITS, *TENS, *MYRIADS])}]"
COUNTERS = (
    "人前|人分|名様|日間|週間|[かカヶケ]月|時間|グラム|キロ|メートル|センチ|リットル|ドル|ユーロ|パーセント|ページ|つ|人|個|枚|本|回|名|泊|冊|台|匹|頭|羽|歳|才|円|"
    "分(?![なに])|秒|時|日|年|月|階|杯|点|箱|皿|袋|倍|割|度|号|着|軒|件|足|通|曲|話|巻|問|坪|畳|株|票|文字|行|列|歩|周|束|缶|切れ|玉|口|学期|番目"
)
MIXED = re.compile(r"(?<!\d)(?<!\d,)\d[\d,]*(?:\.\d+)?[千万億兆]+(?:\d[\d,]*(?:\.\d+)?[千万億兆]*)*")  # 1万5千, 2億3000万
PART = re.compile(r"([\d.]+)(千?)([万億兆]?)")
# A single kanji is a number before a counter alone (三人, not 三角形); more of them are one unless a word goes on (二十四節気).
KANJI = re.compile(rf"{NUMERALS}+(?=\s*(?:{COUNTERS}))|{NUMERALS}{{2,}}(?![\u4e00-\u9fff])")

AMOUNT = rf"({FIGURE})\s*(?:円|ドル)?\s*"
ASKED = "(?:ください|下さい|くれ(?:ますか|る)?|もらえますか|ほしい|値|数|結果|答え)?"
SENTENCES = [  # the verb comes last: 7に8を足して, 100を7で割ると
    (rf"{AMOUNT}[にと]\s*{AMOUNT}を\s*(?:(?:足|た)(?:すと|したら|して|した|す)|加え(?:ると|たら|て|た|る)){ASKED}", r"\1+\2"),
    (rf"{AMOUNT}から\s*{AMOUNT}を\s*(?:引|ひ)(?:くと|いたら|いて|いた|く){ASKED}", r"\1-\2"),
    (rf"{AMOUNT}[にと]\s*{AMOUNT}を\s*(?:掛|か)け(?:ると|たら|て|た|る){ASKED}", r"\1*\2"),
    (rf"{AMOUNT}を\s*{AMOUNT}で\s*(?:割|わ)(?:ると|ったら|って|った|る){ASKED}", r"\1/\2"),
    (rf"{AMOUNT}の\s*({FIGURE})\s*[%\uff05]\s*(?:引き?|オフ|割引)", r"\1*(1-\2/100)"),
    (rf"{AMOUNT}の\s*({FIGURE})\s*割引き?", r"\1*(1-\2/10)"),
    (rf"{AMOUNT}の\s*({FIGURE})\s*割(?![りるっ])", r"\1*\2/10"),
]
SPOKEN = {
    "unit": [(rf"({FIGURE})\s*(?:円|ドル)", r"\1")],
    "percent": [(rf"({FIGURE})\s*(?:パーセント|\uff05)", r"\1%")],
    "share": [(rf"({FIGURE})\s*の\s*({FIGURE})\s*%", r"\2% of \1")],
    "power": [(rf"({FIGURE})\s*の\s*({FIGURE})\s*乗", r"\1**\2")],
    "root": [(rf"({FIGURE})\s*の\s*平方根", r"sqrt(\1)"), (rf"ルート\s*({FIGURE})", r"sqrt(\1)")],
    "square": [(rf"({FIGURE})\s*の\s*(?:二乗|2乗)", r"\1**2")],
    "times": [("掛ける|かける", "*")],
    "divide": [("割る|わる", "/")],
    "plus": [("足す|たす|プラス", "+")],
    "minus": [("引く|ひく|マイナス", "-")],
}
LEAD = "では|じゃあ|それと|あと|次の式"
AFTER_LEAD = "\uff1a、を"
BEFORE_EQUALS = ""
AFTER_EQUALS = (
    "(?:は|って|の(?:答え|結果|値|計算)は?|を)?(?:いくつ|いくら|何|なに)?(?:になり(?:ます)?|になる|です|でしょう|なの)?か?"
    "、?(?:を?(?:計算|求め|教え)(?:して|て)?(?:ください|下さい|くれ(?:ますか|る)?|もらえますか|ほしい)?)?"
)
CLAUSE = "(?<=[0-9)])と(?=[0-9(])"

WEEKDAYS = tuple(f"{day}曜日" for day in "月火水木金土日")
ZONES = {
    "Asia/Tokyo": (
        "東京",
        "日本",
    ),
    "Europe/London": (
        "ロンドン",
        "イギリス",
        "英国",
    ),
    "Europe/Paris": (
        "パリ",
        "フランス",
    ),
    "Europe/Berlin": (
        "ベルリン",
        "ドイツ",
    ),
    "America/New_York": ("ニューヨーク",),
    "America/Los_Angeles": (
        "ロサンゼルス",
        "サンフランシスコ",
        "カリフォルニア",
    ),
    "America/Sao_Paulo": (
        "サンパウロ",
        "ブラジル",
    ),
    "Asia/Singapore": ("シンガポール",),
    "Asia/Shanghai": (
        "上海",
        "北京",
        "中国",
    ),
    "Asia/Seoul": (
        "ソウル",
        "韓国",
    ),
    "Asia/Kolkata": (
        "インド",
        "デリー",
        "ムンバイ",
    ),
    "Australia/Sydney": ("シドニー",),
    "UTC": ("協定世界時",),
}
ASKS_TIME = "(いま|今|現在)(は|の)?、?(何時|時刻|時間(は|を))|(今日|本日|きょう)(は|の)?、?(何日|何曜日?|日付|何月)|何時(です|か教えて)|現在(の)?(日時|時刻)"

ASKS_WEATHER = "天気|気温|天候|予報|(雨|雪)(は|が)?降|(暑|寒)(い|く)"
TIME = r"今日|明日|明後日|あした|きょう|現在|今週|来週|今|\d{1,2}月(?:\d{1,2}日)?|[一二三四五六七八九十]{1,2}月|春|夏|秋|冬"
NAME = r"[\u30a0-\u30ff\u3400-\u9fffヶ々A-Za-z]{1,12}?"
PLACE = re.compile(
    rf"((?:{NAME}(?:と|、|や))*{NAME})(?:の(?:{TIME}|いま)?の?|は|で|における)(?:天気|気温|天候|予報|今日|明日|雨|雪|どんな|暑|寒|何度)"
)
AND = "、|と|や|および"
NO_PLACE = "今日|明日|明後日|本日|現在|今週|来週|今|[一二三四五六七八九十]*月|春|夏|秋|冬"
PLACE_ENDING = "[市都府県]"
DAYS_AHEAD = {2: "明後日|あさって", 1: "明日|あした", 0: "今日|本日|きょう"}
CITY_COLUMN = "ja"
SKY = {0: "快晴", 2: "晴れ", 3: "曇り", 48: "霧", 57: "霧雨", 67: "雨", 77: "雪", 82: "にわか雨", 86: "にわか雪", 99: "雷雨"}
UNKNOWN_SKY = "不明"
FORECAST, NOW = "{place}の{day}の天気は{sky}、最高{high:g}度、最低{low:g}度です{now}。", "(現在{current:g}度)"
MEAN = "{city}の{day.month}月の平均気温は約{mean:g}度です(平年値。予報ではありません)。"

ASKS_WEB = (
    r"^(?:ウェブ|Web|web|ネット|インターネット)(?:上)?(?:で|から)、?(.+?)(?:を|について)?、?(?:検索|調べ|探)(?:して|し|て)?.*$|"
    r"^(.+?)(?:を|について)、?(?:ウェブ|Web|web|ネット|インターネット)(?:上)?で、?(?:検索|調べ|探).*$"
)
ASKS_DOCUMENTS = (
    r"^(?:資料|文書|ドキュメント|社内文書)(?:の中)?(?:で|から)、?(.+?)(?:を|について)?、?(?:検索|調べ|探)(?:して|し|て)?.*$|"
    r"^(.+?)(?:を|について)、?(?:資料|文書|ドキュメント|社内文書)(?:の中)?(?:で|から)、?(?:検索|調べ|探).*$"
)
AROUND_QUERY = "、「」"

CONTENT = re.compile(r"[\u3005\u4e00-\u9fff]|(?=([\u30a1-\u30fc]{2}))|[a-z][a-z0-9]+")  # kanji, pairs of katakana, words of others
GENERAL = re.compile(
    "指定|計算|算出|調べ|検索|取得|確認|照会|表示|返[すし]|求め|教え|知[りら]|判定|提供|入力|対象|条件|場合|情報|結果|一覧|与え|基づ|使用|利用|方法|必要|[何今]"
)
OPEN = re.compile(
    "なぜ|どうして|理由|意味|とは|って何|違い|コツ|おすすめ|お勧め|どうすれば|どうしたら|どうやって|どう思|使い分け|考えて|書いて|歴史|由来|仕組み|影響|説明|証明|わかりやすく|誰が|アドバイス"
)
STOP_WORDS = ""
RELEVANCE = {"bias": -1.94, "description": 3.64, "question": 3.83, "numbers": -2.84, "filled": 2.37, "open": -3.81}


# What may be a value in a question, by its form.
COUNT = rf"(?:\d|{NUMERALS}){{1,3}}"
CHARACTER = r"[\u3005\u30a1-\u30fa\u30fc\u4e00-\u9fff・&]"
COUNTED = rf"{NUMERALS}+(?:{COUNTERS})(?![\u4e00-\u9fff])"
FORMS = {  # of two that begin at one place, the first is taken
    "quote": r"「[^「」]+」|『[^『』]+』|“[^”]+”|\"[^\"]+\"",
    "address": r"https?://[\x21-\x7e]+|[\w.+-]+@[\w-]+(?:\.[A-Za-z]+)+",
    "date": rf"(?:\d{{4}}年)?{COUNT}月{COUNT}日|\d{{4}}[-/]\d{{1,2}}[-/]\d{{1,2}}|\d{{4}}年{COUNT}月|(?:(?:今|来|再来|先)週の?)?[月火水木金土日]曜日?|"
    "明後日|明日|今日|一昨日|昨日|今週末|週末|再来週|[今来先][週月]|[今来去昨]年",
    "time": rf"(?:(?:午前|午後|朝|昼|夕方|夜)の?)?{COUNT}時(?!間|速)(?:半|{COUNT}分)?|\d{{1,2}}:\d\d",
    "number": rf"\d[\d,]*(?:\.\d+)?[千万億兆]*\s*(?:{COUNTERS}|%|°|[a-zA-Z]{{1,2}}(?![A-Za-z0-9]))|{COUNTED}",
    "code": rf"(?:(?=[A-Za-z0-9-]*[A-Za-z])|(?=\d+-\d|\d{{4}}))(?>[A-Za-z0-9]+(?:[-_.][A-Za-z0-9]+)*)(?!{CHARACTER})",
}
# A syllable or two between kanji and at the end are part of the word (打ち合わせ), unless they are particles; so are letters before it (ABC商事)
# and one behind.
WORDLIKE = rf"(?:{CHARACTER}|(?<=[\u4e00-\u9fff])[きぎしじちみりびいけげせてれねめえべむわも]{{1,2}}(?=[\u4e00-\u9fff]))"
ENDING = r"[わもりみげしきせえけれめち]{1,2}(?=[をのはがにで、。]|$)"
FORMS["name"] = (
    rf"[A-Za-z0-9]*(?:(?!宛|行き|発{CHARACTER}{{1,8}}[行着]|{COUNTED}|{FORMS['date']}|{FORMS['time']}){WORDLIKE})+(?:さん|さま|[A-Z](?![A-Za-z0-9-])|{ENDING})?"
)


class Copying:
    """The forms of values in a question, and what says which parameter a value is for. Parameters are named in English more often than not."""

    SPAN = re.compile("|".join(f"(?P<{name}>{form})" for name, form in FORMS.items()))
    QUANTITY = f"{MIXED.pattern}|{KANJI.pattern}"
    WANTS: ClassVar[dict[str, re.Pattern[str]]] = {
        "address": re.compile(r"\b(url|link|e-?mail)\b|アドレス|リンク", re.I),
        "time": re.compile(r"\btime\b(?! ?zone)|時刻|時間帯", re.I),
        "date": re.compile(
            r"\b(date|day|check.?in|check.?out|deadline|birthday)\b|日付|日時|曜日|期日|締め?切|(?:開始|終了|希望|出発|到着|配達|予約|イン|アウト|生年月|宿泊)日",
            re.I,
        ),
        "code": re.compile(
            r"\b(id|code|sku|user.?name|isbn|ticker|host.?name|server)\b|\b(tracking|order|flight|part|serial|model) number\b|品番|番号|型番|コード",
            re.I,
        ),
        "quote": re.compile(
            r"\b(message|body|text|subject|title|keyword|content|phrase|word|sentence)\b|本文|件名|題名|メッセージ|文章|キーワード|語|内容",
            re.I,
        ),
    }
    BEGINS = re.compile(r"\b(from|origin|departure|pick.?up|source)\b|出発|発送元|乗車|換算元|変換元", re.I)
    ENDS = re.compile(
        r"\b(to|destination|arrival|drop.?off|target|recipient)\b|到着|目的地|行き先|宛先|降車|換算先|変換先|翻訳先|送り先", re.I
    )
    FROM, TO = re.compile(r"から|より|発|を.+に"), re.compile(r"まで|へ|に(?!つ)|行き|宛")
    LIST = re.compile(r"と|や|、|,|・|および")
    WORD = re.compile(r"[\u4e00-\u9fff]{2,}|[\u30a1-\u30fc]{2,}|[\u4e00-\u9fff]さ|[A-Za-z]{3,}")
    GENERAL = frozenset(["名前", "種類", "指定", "任意", "対象", "単位", "数値", "リスト", "配列", "the", "name", "for", "number", "list"])
    UNITS: ClassVar[dict[str, str]] = {
        "yen": "円",
        "金額": "円",
        "dollar": "ドル",
        "euro": "ユーロ",
        "people": "人",
        "person": "人",
        "人数": "名",
        "年齢": "歳",
        "metre": "メートル",
        "meter": "メートル",
        "gram": "グラム",
        "hour": "時間",
        "minute": "分",
        "day": "日",
        "year": "年",
        "night": "泊",
        "percent": "パーセント",
        "page": "ページ",
        "ohm": "オーム",
        "ampere": "アンペア",
    }
    ASIDE = re.compile("省略時|例:")
    COUNTS = re.compile("(.)数")
    KIND = re.compile("[\u4e00-\U0010ffff]$")
    WHEN = re.compile("[年月日時]")
    # What may stand behind a name. Other kana go on with a verb (入れて); and what is to be done is no value (予約をお願い).
    AFTER = re.compile(
        r"(?!でき|を?お願い|を?し[てた]|をする)(?:[^\u3041-\u3096]|$|[のをはがにへでともやかな]|から|まで|より|って|だけ|くらい|ぐらい|など|さん|さま|あたり)"
    )
    BOUNDS = frozenset(["以上", "以下", "以内", "未満", "合計", "最新", "最大", "最小"])
    NEGATED = re.compile(r"\s*[をはもが]?\s*(?:オフ|なし|無し|不要|しない|せず|いら|要ら|では?な|じゃな)")
    FRACTION = re.compile("小数|割合|fraction|decimal", re.I)


def plain_figures(text: str) -> str:
    return MIXED.sub(lambda match: str(_mixed_number(match[0])), text)


def words_to_figures(text: str) -> str:
    return re.sub(f"{NUMERALS}+", lambda match: str(_kanji_number(match[0])), text)


def numbers_in_words(text: str) -> list[int]:
    runs = [match[0] for match in KANJI.finditer(text) if not text[match.start() - 1 : match.start()].isdecimal()]
    return [_kanji_number(run) for run in runs if len(run) <= LONGEST]


def places(question: str) -> list[str]:
    return PLACE.findall(question)


def _mixed_number(text: str) -> int | float:
    """The value of figures with units in kanji (1万5千, 2億3000万)."""
    total: float = 0
    below: float = 0
    for figures, thousand, myriad in PART.findall(text.replace(",", "")):
        below += (float(figures) if "." in figures or len(figures) > 4 * LONGEST else int(figures)) * (1000 if thousand else 1)
        if myriad:
            total, below = total + below * MYRIADS[myriad], 0
    total += below
    return int(total) if isinstance(total, float) and total.is_integer() and abs(total) < 1e15 else total


def _kanji_number(text: str) -> int:
    """The value of a number in kanji, positional (二〇二四) or with units (二千二十四, 六百万)."""
    if not any(kanji in TENS or kanji in MYRIADS for kanji in text):
        return int("".join(str(DIGITS[kanji]) for kanji in text))
    total = below = digit = 0  # complete myriads, what is below the next, the digit before its unit
    for kanji in text:
        if kanji in MYRIADS:
            total, below, digit = total + (below + digit or 1) * MYRIADS[kanji], 0, 0
        elif kanji in TENS:
            below, digit = below + (digit or 1) * TENS[kanji], 0
        else:
            digit = DIGITS[kanji]
    return total + below + digit
