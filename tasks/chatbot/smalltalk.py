"""Greetings, thanks and goodbyes: what nobody looks up in documents."""

import re

from tasks.text.detection import detect

TALK = {
    "en": re.compile(
        r"\s*((hi|hello|hey)( there| again)?|good (morning|afternoon|evening|night)|how are you( today)?|thanks?( you)?( so much| a lot| very much)?|"
        r"(good)?bye|see you( later)?|ok(ay)?|great|nice to meet you)\s*[.!?,]*\s*",
        re.I,
    ),
    "ja": re.compile(
        r"\s*(こんにち[はわ]|こんばん[はわ]|おはよう(ございます)?|はじめまして|お?元気(ですか)?|(どうも)?ありがとう(ございま(す|した))?|どうも|さよ(う)?なら|また(ね|あした|明日)|"
        r"お?やすみ(なさい)?|了解(です|しました)?|わかりました)\s*[。\uff01!?\uff1f、]*\s*"
    ),
}
GREETING = {"en": "Hello! Ask me anything about the documents.", "ja": "こんにちは。資料について、何でもお尋ねください。"}


def is_small_talk(text: str) -> bool:
    return bool(TALK[detect(text)].fullmatch(text))
