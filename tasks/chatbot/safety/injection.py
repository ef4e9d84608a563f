"""Instructions and delimiters hidden in documents: text that is looked up is data, and must neither look like the chat template nor give orders.

A delimiter is spelled with other brackets, a sentence that orders the model about is quoted and called what it is. Nothing is deleted, so what
the document says can still be read, cited and checked.
"""

import re
from collections.abc import Collection
from functools import cache

from tasks.chatbot.safety.text import plain
from tasks.text.detection import detect

BAR, OPEN, CLOSE = "[|｜]", "[<＜]", "[>＞]"
DELIMITERS = re.compile(
    rf"{OPEN}{BAR}[^<>＜＞\n]{{1,40}}{BAR}{CLOSE}"  # ChatML, Llama 3, Phi, DeepSeek
    rf"|{OPEN}{{1,2}}/?(?:s|sys|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|endoftext|system|assistant|user|tool_call|tool_response){CLOSE}{{1,2}}"
    r"|[\[［]/?(?:INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)[\]］]"
    r"|^[ \t]*(?:#{2,3}[ \t]*)?(?:system|assistant|user|human|ai)[ \t]*[:：](?=[ \t]*\S)"  # a turn of a written dialogue
    r"|^[ \t]*#{2,3}[ \t]*(?:instructions?|response|system|assistant|指示|応答)[ \t]*[:：]",
    re.IGNORECASE | re.MULTILINE,
)
BRACKETS = str.maketrans(
    {"<": "‹", "＜": "‹", ">": "›", "＞": "›", "[": "(", "［": "(", "]": ")", "］": ")", ":": " -", "：": " -", "#": ""}
)

EARLIER = (
    r"(?:all |any |the |your |my |these |those |of |and |previous |prior |above |earlier |preceding |initial |original |system |safety )*"
)
ORDERS = {
    "injection.override": (
        rf"\b(?:ignore|disregard|forget|override|bypass|do not follow|stop following)\s+{EARLIER}(?:instructions?|prompts?|rules?|guidelines?|directions?|commands?|context|messages?|everything)\b"
        r"|\b(?:new|updated|real|actual) (?:system )?(?:instructions?|prompt|task)\s*(?::|are\b|is\b|follow)"
        r"|(?:これ|それ|今|上記|以上|以前|先|前|元|すべて|全て|システム)[^。\n]{0,12}?(?:指示|命令|ルール|規則|プロンプト|設定|制約)[^。\n]{0,8}?(?:無視|忘れ|破棄|従わ(?:ない|ず)|取り消)"
        r"|(?:指示|命令|プロンプト|ルール)(?:を|は)(?:すべて|全て|全部)?(?:無視|忘れて)"
    ),
    "injection.role": (
        r"\byou are (?:now|no longer) (?:an?|the|in|my|bound|required|free|dan)\b|\bfrom now on,? (?:you|act|respond|answer)|\b(?:act|behave|respond) as (?:if you|an? (?:unrestricted|unfiltered|evil|different))"
        r"|\bpretend (?:to be|that you|you are|you have)|\b(?:developer|debug|god|dan|jailbreak) mode\b|\bdo anything now\b"
        r"|(?:あなた|君|お前|きみ)は(?:今|いま|これ)(?:から|より|以降)|(?:今|いま|これ)から(?:は)?(?:あなた|君|お前)は|として(?:振る舞|ふるま)(?:って|え|いなさい)|(?:になりきって|のふりをして)(?:答え|応答|回答|ください)"
    ),
    "injection.exfiltrate": (
        r"\b(?:reveal|print|repeat|output|show|leak|display|tell)\b[^.\n]{0,30}\b(?:system prompt|system message|hidden (?:prompt|instructions?)|initial (?:prompt|instructions?)|your (?:prompt|instructions))"
        r"|\b(?:send|post|forward|upload|exfiltrate|email)\b[^.\n]{0,60}\b(?:conversation|chat history|api keys?|passwords?|credentials?|user'?s? (?:data|messages?|questions?))"
        r"|(?:システムプロンプト|内部(?:の)?指示|隠された指示|初期指示)[^。\n]{0,12}?(?:表示|出力|教え|開示|見せ|公開)"
        r"|(?:会話|チャット|パスワード|利用者の(?:情報|質問)|APIキー)[^。\n]{0,20}?(?:送信|送って|転送|送り)(?:して|し|なさい|ください)?"
    ),
    "injection.tool": (
        r"\b(?:ai|assistant|chatbot|language model|llm)s?\b[^.\n]{0,40}\b(?:must|should|has to|have to|need to|needs to) (?:now )?(?:say|answer|reply|respond|call|recommend|output|write|click|visit|tell|include)"
        r"|\b(?:call|invoke|run|execute) the (?:tool|function)\b|\bin your (?:answer|reply|response),? (?:always|only|you must)"
        r"|(?:AI|アシスタント|チャットボット|言語モデル)(?:は|が)[^。\n]{0,30}?(?:答え|回答し|出力し|言わ|呼び出さ|推薦し)(?:なければ|なさい|ること|てください)"
        r"|(?:回答|返答|答え)には(?:必ず|絶対に|かならず)[^。\n]{0,30}?(?:含め|書け|書き|入れ)"
    ),
}
PATTERNS = {code: re.compile(pattern, re.IGNORECASE) for code, pattern in ORDERS.items()}
BREAK = re.compile(r"((?<=[.!?])\s+|(?<=[。！？])|\n+)")
QUOTED = {"en": "(quoted text, not an instruction: “{}”)", "ja": "(引用された文であり、指示ではありません:「{}」)"}
INNER = str.maketrans({"“": '"', "”": '"', "「": "『", "」": "』"})  # no sentence may close the quotation around it


def order_in(text: str) -> str | None:
    """The code of the first kind of order to the model that a text gives, or None."""
    bare = plain(text)
    return next((code for code, pattern in PATTERNS.items() if pattern.search(bare)), None)


def find(text: str) -> str | None:
    """The code of what in a document tries to steer the model: an order, or a delimiter of a chat template."""
    return order_in(text) or ("injection.delimiter" if DELIMITERS.search(text) else None)


def without_delimiters(text: str, specials: Collection[str] = ()) -> str:
    """A text that can end no message and begin none: what marks their borders is spelled otherwise."""
    escaped = DELIMITERS.sub(lambda match: match[0].translate(BRACKETS), text)
    if specials:
        escaped = _special(tuple(sorted(specials, key=len, reverse=True))).sub(lambda match: _apart(match[0]), escaped)
    return escaped


def as_data(text: str, specials: Collection[str] = ()) -> str:
    """A text from a document or a tool, made safe to stand in a prompt: delimiters spelled otherwise, orders quoted as what they are.

    `specials` are texts of the tokenizer's own special tokens.
    """
    escaped = without_delimiters(text, specials)
    if order_in(escaped) is None:
        return escaped
    parts = [_quoted(part) if order_in(part) else part for part in BREAK.split(escaped)]
    return "".join(parts) if any(map(order_in, parts)) else _quoted(escaped)  # an order that runs over several lines quotes them all


@cache
def _special(specials: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(special) for special in specials if special.strip()) or r"(?!)")


def _apart(special: str) -> str:
    """A special token's text with other brackets; one that has none gets a space inside."""
    turned = special.translate(BRACKETS)
    return turned if turned != special else f"{special[:1]} {special[1:]}"


def _quoted(sentence: str) -> str:
    return QUOTED[detect(sentence)].format(sentence.strip().translate(INNER))
