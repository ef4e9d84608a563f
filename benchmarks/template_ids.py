"""Whether the ids of real conversations are those of `apply_chat_template`, and no control token comes from what people write.

    python benchmarks/template_ids.py [--chats 1000]

1,000 conversations of the data sets in ../shared/data (English with several turns, Japanese, and with calls of tools), on thirteen shapes of chat
templates (`tests/helpers/chat_templates.py`) and four tokenizers: the bundled model's, and three kinds trained on some of the texts. For each
conversation the sequences that are learnt, and the prompt of its last answer, are held against the template's own; then the same with control
strings written into every turn of a person, where the tokens of control are counted. Exits with 1 where anything differs.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import bundled_model
from transformers import PreTrainedTokenizerBase

from tasks.data.normalise import instruction, preference
from tasks.models.loader import load_tokenizer
from tasks.prompts.chat_format import chat_format
from tasks.prompts.template import encode_chat, encode_prompt
from tasks.prompts.templates import settle
from tasks.text.messages import Message
from tests.helpers.chat_templates import CONTROL, SPOKEN, TEMPLATES
from tests.helpers.tokenizers import KINDS, trained

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
CLOSES_A_THOUGHT = "deepseek-r1"  # its prompt is closed by us, which it does not do itself: only control tokens are counted


def chats(number: int) -> list[list[Message]]:
    """Four tenths English (HH), four Japanese, two with tools."""
    english = [
        json.loads(line)
        for line in (DATA / "preference/hh_harmless.jsonl").read_text(encoding="utf-8").splitlines()[: number * 4 // 10 + 5]
    ]
    japanese = [json.loads(line) for line in (DATA / "instruction/instruction_ja.jsonl").read_text(encoding="utf-8").splitlines()]
    tools = json.loads((DATA / "function_calling/glaive_toolcall_en_300.json").read_text(encoding="utf-8"))
    found: list[list[Message]] = []
    for row in english:
        pair = preference(row, "hh")
        found.append([*pair.messages, {"role": "assistant", "content": pair.chosen}])  # type: ignore[union-attr]
    found = found[: number * 4 // 10]
    found += [instruction(row, "ja").chat for row in japanese[: number * 4 // 10]]
    found += [instruction(row, "glaive").chat for row in tools[: number - len(found)]]
    return found


def own_ids(tokenizer: PreTrainedTokenizerBase, messages: list[Message], ask: bool = False) -> list[int]:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def equal(tokenizer: PreTrainedTokenizerBase, chat: list[Message]) -> tuple[bool, bool]:
    """Whether what is learnt, and the last prompt, are the template's own."""
    fitted = chat_format(tokenizer).fitted(chat).messages
    ends = [place + 1 for place, message in enumerate(fitted) if message["role"] == "assistant"]
    sequences = encode_chat(tokenizer, chat)
    ends = ends[-len(sequences) :] if len(sequences) > 1 else ends[-1:]
    learnt = all(encoded.ids == own_ids(tokenizer, fitted[:end])[: len(encoded.ids)] for encoded, end in zip(sequences, ends, strict=True))
    asked = chat[: max(place for place, message in enumerate(chat) if message["role"] == "assistant")]
    return learnt, encode_prompt(tokenizer, asked) == own_ids(tokenizer, chat_format(tokenizer).fitted(asked).messages, ask=True)


def control_tokens(tokenizer: PreTrainedTokenizerBase, chat: list[Message]) -> int:
    controls = set(chat_format(tokenizer).controls.ids_of.values()) - {tokenizer.unk_token_id}
    return sum(token in controls for encoded in encode_chat(tokenizer, chat) for token in encoded.ids)


def injected(chat: list[Message], generator: random.Random) -> Iterator[Message]:
    """The chat with control strings in all that people and tools say."""
    for message in chat:
        if message["role"] in ("assistant", "tool"):
            yield message
        else:
            strings = generator.sample([*CONTROL, *SPOKEN], 3)
            yield message | {"content": f"{strings[0]}{message['content']} {''.join(strings[1:])} x"}


def tokenizers(texts: list[str]) -> Iterator[tuple[str, PreTrainedTokenizerBase]]:
    bundled = load_tokenizer(bundled_model())
    bundled.add_special_tokens({"additional_special_tokens": CONTROL})
    yield "bundled", bundled
    for kind in KINDS:
        yield kind, trained(kind, texts, None, 4000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=1000)
    given, generator = parser.parse_args(), random.Random(0)
    conversations = chats(given.chats)
    texts = [message["content"] for chat in conversations[::5] for message in chat]
    attacks = [list(injected(chat, generator)) for chat in conversations]
    print(f"{len(conversations)} conversations, {sum(map(len, conversations))} turns")
    print("| tokenizer | template | learnt sequences equal | prompts equal | control tokens from texts |\n| --- | --- | --- | --- | --- |")
    right = True
    for name, tokenizer in tokenizers(texts):
        for shape, template in TEMPLATES.items():
            tokenizer.chat_template = template
            settle(tokenizer)
            found = [equal(tokenizer, chat) for chat in conversations] if shape != CLOSES_A_THOUGHT else []
            extra = sum(
                abs(control_tokens(tokenizer, bad) - control_tokens(tokenizer, chat))
                for bad, chat in zip(attacks, conversations, strict=True)
            )
            learnt, prompts = (sum(pair[side] for pair in found) for side in (0, 1))
            said: list[Any] = [learnt, prompts] if found else ["thoughts are closed", ""]
            print(f"| {name} | {shape} | {said[0]} | {said[1]} | {extra} |", flush=True)
            right = right and not extra and (not found or learnt == prompts == len(conversations))
    sys.exit(not right)


if __name__ == "__main__":
    main()
