"""English, as the chat speaks it and as people speak to it."""

import re

GREETING = "Hello! Ask me anything about the documents."
NOTHING_FOUND = "The documents do not answer this."
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

SMALL_TALK = re.compile(
    r"\s*((hi|hello|hey)( there| again)?|good (morning|afternoon|evening|night)|how are you( today)?|thanks?( you)?( so much| a lot| very much)?|"
    r"(good)?bye|see you( later)?|ok(ay)?|great|nice to meet you)\s*[.!?,]*\s*",
    re.I,
)
REFERRING = re.compile(r"\b(it|its|they|them|their|he|him|his|she|her|this|that|these|those|there|the (former|latter|same))\b", re.I)
CONTINUING = re.compile(r"^\s*(and|but|so|then|also|what about|how about|why|how so|which one|since when|for example|tell me more)\b", re.I)
SHORT = 18

WHAT_IS = re.compile(r"(?:what(?:'s|\s+is|\s+are|\s+does)|define|explain)\s+(?:an?\s+|the\s+)?([\w .-]{2,40}?)(?:\s+mean)?\s*[?.!]*$", re.I)
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
    "refused": "refused ({})",
    "page": "p. {}",
}
CUT = {"length": "cut at its greatest length", "timeout": "cut at its time limit", "stopped": "stopped"}
