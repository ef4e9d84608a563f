"""English, as the chat speaks it and as people speak to it."""

import re

GREETING = "Hello! Ask me anything about the documents."
NOTHING_FOUND = "The documents do not answer this."
UNSURE = "I am not sure; these passages come nearest:"
WITHHELD = "This answer rests on documents that you may not see any more."
QUOTED = "From “{title}”: {sentence}"
QUOTE_CHARACTERS = 450
QUOTING_BECAUSE = "(This model writes this language poorly, so the source is quoted.)"
REFUSALS = {
    "harm": "I'm sorry, but I can't help with that.",
    "harm.self_harm": "I'm sorry that you are going through this. I can't help with hurting yourself, but you do not have to be alone with it: please talk "
    "to someone you trust, or call a crisis line where you live (in Japan 0120-783-556, in the US and Canada 988, in the UK and Ireland "
    "116 123). If you are in danger right now, call your emergency number.",
    "private": "I'm sorry, but the answer held personal data that I can't show.",
    "injection": "I'm sorry, but I can't use that text: it tries to give me instructions.",
}

# One phrase after another, each read in one way only (atomic), so that no text takes long.
SMALL_TALK = re.compile(
    r"[\s\W]*(?>(?:"
    r"(?:hi|hello|hey|hiya|greetings)(?: there| again| all| everyone)?|good (?:morning|afternoon|evening|night|day)|nice to meet you|"
    r"how are (?:you|things)(?: doing)?(?: today)?|how(?:'s| is) it going|what'?s up|is any(?:body|one) (?:in|there|here|home)|"
    r"(?:many )?(?:thanks|thank you|thx|ty|cheers)(?: so much| very much| a lot| again| for (?:the|your|that|this)(?: \w+){0,2})?|much appreciated|"
    r"(?:that|this|it)(?: really| all)?(?: helps?| helped| works?| worked| did it| did the trick| makes sense| (?:i|wa)s helpful|'s helpful)"
    r"(?: a lot| me| now| for now| for today)*|that(?:'s| is| was) (?:all|it)|"
    r"i see|i understand|got it|understood|makes sense|all ?right|right|ok(?:ay|ey)?|great|perfect|nice|cool|wow|awesome|excellent|wonderful|good|"
    r"super|fine|sure|yes|yeah|yep|no|nope|(?:good ?)?bye(?: bye)?|see (?:you|ya)(?: later| soon| tomorrow| around)?|take care|"
    r"have a (?:nice|good|great) (?:day|evening|weekend|one)|what(?:'?s| is) your name|what can you do(?: for me)?|can you help(?: me)?|"
    r"(?:who|what)(?: exactly)? are you|are you (?:an? )?(?:real|bot|robot|human|ai|person|machine|program)|an? (?:bot|robot|human|ai|program)"
    r")\b[\s\W]*)+",
    re.I,
)
# "It" points at nothing in "is it true that" or "how long does it take to", nor "that" in "a tool that bans", nor "there" in "is there".
_EMPTY = r"\s+(?:(?:\w+\s+){0,2}(?:to|that|if|when|whether|how|why|what)\b|(?:takes?|matters?|makes? (?:any )?sense)\b(?!\s*[.?!]*$))"
_BEFORE_THAT = "is|are|was|were|does|do|did|can|could|will|would|should|has|have|had|for|with|of|about|after|before|from|to|on|in|by|than|like|without|using"
_AFTER_THAT = "ones?|too|also|again|then|for|from|with|on|in|at|as|works?|is|was|means?|happens?|does|do|helps?|saves?|costs?|differs?|affect|change|apply"
REFERRING = re.compile(
    rf"\bit\b(?!{_EMPTY})|\b(?:its|itself|they|them|themselves|theirs?|he|him|his|she|hers?)\b|"
    rf"\b(?:{_BEFORE_THAT})\s+(?:this|that|these|those)(?=(?:\s+\w+)?\s*(?:[?.!,;:]|$))|"
    rf"\b(?:this|that|these|those)(?=\s*(?:[?.!,;:]|$|(?:{_AFTER_THAT})\b))|"
    r"\b(?:the|an?|another|other|each|which|what|my|any) (?:[\w-]+ )?ones?\b(?! of\b)|"
    r"\bthe (?:former|latter|same|others?|opposite|reverse|rest|first|second|third|last|next)"
    r"(?=\s*(?:[?.!,;]|$|(?:one|way|two|kind|step|part|version|case|option|approach|method)\b))|"
    r"\b(?<!is )(?<!are )(?<!was )(?<!were )there(?=\s*(?:[?.!,;]|$))|\b(?:anything|something|what|who|where|how) else\b|"
    r"^\W*(?:(?:tell|show|give) me (?:more|another|(?:an )?examples?)\b|"
    r"(?:why|how so|how come|since when|which one|for example|(?:any |an )?examples?|more(?: details?)?|go on|really)\W*$)",
    re.I,
)
CONTINUING = re.compile(
    r"^\W*(?:and|but|or|so|then|also|plus|except|only|what about|how about|what if|how come|which one|since when|more|"
    r"(?:for|any) examples?|(?:ok|okay|now),? (?:and|but|so|then))\b|"
    r"\b(?:instead|otherwise|too|either|as well|again|then|though)\s*[?.!]*$|\b(?:this|these|those|such)\s+(?!is\b|are\b|was\b)[\w-]+",
    re.I,
)
NAMING = re.compile(
    r"(?:(?i:\bwhat(?:'s|\s+is|\s+are|\s+does(?=.*\smean\b))|\bdefine|\bexplain)\s+(?i:an?\s+)?(?!(?:the|its|their|that|this)\b)([\w .-]{2,40}?)"
    r"(?i:\s+mean)?\s*[?.!]*$)|"
    # Words with capitals or digits inside, and those with a capital though no sentence begins there.
    r"(\b[A-Z]+[\w.+-]*[A-Z0-9][\w+]*|\b[a-z][\w.+-]*[A-Z0-9_][\w+]*|(?<=[\w,;] )[A-Z][\w.+-]*\w)"
)
WORD = re.compile(r"\w[\w'-]*")

WHAT_IS = re.compile(
    r"(?:what(?:'s|\s+is|\s+are|\s+does(?=.*\smean\b))|define|explain)\s+(?:an?\s+|the\s+)?([\w .-]{2,40}?)(?:\s+mean)?\s*[?.!]*$", re.I
)
ARTICLE = r"(?:an?|the)\s+"
DEFINING = r"\s+(?:is|are|means?|stands?|refers?|\w+s)\b"

NGRAM = 4
SENTENCE_ENDS = ".!?"
WORD_ENDS = ""

TERMINAL = {
    "hint": "/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves",
    "help": """/sources [N]    what the last answer rests on, in full
/good, /bad     rate the last answer
/better TEXT    say what would have been a better answer
/model [ID]     which models there are, or talk with another one
/reset          forget the conversation and begin a new one
/save FILE      write the conversation: Markdown (.md) or JSON lines (.jsonl); /save! replaces a file
/quit           leave (Ctrl-D too)
A line that ends with \\ goes on in the next one; lines between two lines of \"\"\" are one question. Ctrl-C stops an answer.""",
    "again": "Ctrl-C once more leaves, as /quit does",
    "forgotten": "forgotten; this is a new conversation",
    "thanks": "kept: thank you",
    "nothing": "nothing has been answered yet",
    "no_sources": "the last answer has no sources",
    "no_source": "the last answer has no source {}; it has {}",
    "unknown": "there is no command /{}",
    "near": "did you mean /{}?",
    "no_text": "say what would have been better after /better",
    "no_file": "name a file after /save, such as chat.md",
    "saved": "{} answers written to {}",
    "talking": "now talking with {}",
    "unsupported": "no source says this",
    "unsure": "unsure",
    "unanswered": "unanswered",
    "refused": "refused ({})",
    "page": "p. {}",
}
CUT = {
    "length": "cut at its greatest length",
    "timeout": "cut at its time limit",
    "stopped": "stopped",
    "refused": "ended by the server's content filter",
}
