"""Greetings, thanks and goodbyes: what nobody looks up in documents."""

from tasks.chatbot.language import languages
from tasks.text.detection import detect

LONGEST = 200  # characters; the patterns take quadratic time, in which nothing else in the program runs


def is_small_talk(text: str) -> bool:
    text = text.strip()
    return len(text) <= LONGEST and bool(languages()[detect(text)].SMALL_TALK.fullmatch(text))
