"""Japanese, as prompts of the library are put and judged."""

import re

STEP_BY_STEP = "一歩ずつ考えてみましょう。"
STEPS = "次の手順で進めてください。"
ONE_LINE = "一行で答えてください。"
JSON = "次のスキーマに合うJSONを一つだけ出力してください: {schema}"
YES_NO = {"yes": "はい", "no": "いいえ"}

INSTRUCTS = re.compile(
    r"(?:て|で)(?:ください|下さい)|なさい|(?:せよ|しろ|(?<=[ぁ-ん])れ)[。\s]|(?:要約|翻訳|分類|説明|回答|列挙|抽出|判定)(?:する|すること)"
)
FORMATS = re.compile(
    r"形式|箇条書き|JSON|表で|一行|[0-9一二三]行|一文|[0-9一二三]文|番号|記号|数字|一語|「[^」]*[::]\s*」|はい.{0,3}いいえ", re.I
)
LIMITS = re.compile(
    r"だけ|のみ|以内|以下|まで|ないでください|しないこと|書かない|含めない|一つ|[0-9０-９一二三四五六七八九十]+(?:字|文字|文|行|語|個|つ|点)"
)
