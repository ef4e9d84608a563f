"""Greetings, thanks and goodbyes: what nobody looks up in documents."""

from tasks.chatbot.language import languages
from tasks.text.detection import detect


def is_small_talk(text: str) -> bool:
    return bool(languages()[detect(text)].SMALL_TALK.fullmatch(text))
