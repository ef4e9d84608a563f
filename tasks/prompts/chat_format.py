"""What a model's chat template can render, found by asking it, and conversations made to fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.prompts.control import Controls
from tasks.prompts.templates import on_the_day, settle
from tasks.text.messages import Message, said

NEEDLE = "\u2603"  # a text that is looked for in what a template has rendered
ASK: Message = {"role": "user", "content": "?"}
CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": NEEDLE, "arguments": {}},
}  # nine characters: Mistral's template counts them
TOOL = {"type": "function", "function": {"name": NEEDLE, "description": "?", "parameters": {"type": "object", "properties": {}}}}
CALLING: Message = {"role": "assistant", "content": "", "tool_calls": [CALL]}
FAILURES = (TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError)  # a template is a program, and may fail as one


@dataclass
class Fitted:
    """A conversation as the template takes it, and what was done to it."""

    messages: list[Message]
    notes: list[str] = field(default_factory=list)


class ChatFormat:
    """The chat template of a tokenizer. `day` (YYYY-MM-DD) stands wherever it would write today's date; "" leaves it to the clock."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, day: str = ""):
        self.tokenizer, self.template, self.day = tokenizer, cast(str, tokenizer.chat_template), day
        self.controls = Controls(tokenizer)
        self._dated = on_the_day(self.template, day)

    def render(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = (), ask: bool = False) -> str:
        """The text of messages, special tokens included and what people wrote hidden; with `ask` it ends where the next answer begins.

        Raises:
            MigakiError: the template refuses them.
        """
        hidden = [self._hidden(message) for message in messages]
        try:
            text = self.tokenizer.apply_chat_template(
                hidden, tools=list(tools) or None, chat_template=self._dated, tokenize=False, add_generation_prompt=ask
            )
        except FAILURES as error:
            roles = ", ".join(message["role"] for message in messages)
            raise MigakiError(f"the model's chat template refuses a conversation of {roles}: {type(error).__name__}: {error}") from error
        return cast(str, text)

    def _hidden(self, message: Message) -> Message:
        def hide(value: Any) -> Any:
            if isinstance(value, str):
                return self.controls.hidden(value, message["role"])
            if isinstance(value, dict):
                return {key: hide(part) for key, part in value.items()}
            return [hide(part) for part in value] if isinstance(value, list) else value

        return message | {name: hide(message[name]) for name in ("content", "tool_calls", "reasoning_content") if name in message}

    def _renders(self, *messages: Message, tools: Sequence[dict[str, Any]] = ()) -> bool:
        """Whether the needle comes out once at least for each time that it went in."""
        try:
            return self.render(messages, tools).count(NEEDLE) >= max(1, sum(message["content"].count(NEEDLE) for message in messages))
        except MigakiError:
            return False

    @cached_property
    def takes_system(self) -> bool:
        return self._renders({"role": "system", "content": NEEDLE}, ASK)

    @cached_property
    def takes_several_systems(self) -> bool:
        """Anywhere in a conversation."""
        system: Message = {"role": "system", "content": NEEDLE}
        return self._renders(system, system, ASK, {"role": "assistant", "content": "!"}, system, ASK)

    @cached_property
    def takes_consecutive(self) -> bool:
        """Several turns of one role in a row."""
        asked: Message = {"role": "user", "content": NEEDLE}
        return self._renders(asked, asked, {"role": "assistant", "content": NEEDLE}, {"role": "assistant", "content": NEEDLE})

    @cached_property
    def takes_opening(self) -> bool:
        """A conversation that the assistant begins."""
        return self._renders({"role": "assistant", "content": NEEDLE}, ASK)

    @cached_property
    def takes_tools(self) -> bool:
        return self._renders(ASK, tools=[TOOL])

    @cached_property
    def takes_calls(self) -> bool:
        """The assistant's calls of tools, and their results."""
        result: Message = {"role": "tool", "name": "f", "tool_call_id": CALL["id"], "content": "#"}
        try:
            return NEEDLE in self.render([ASK, CALLING, result]) and "#" in self.render([ASK, CALLING, result])
        except MigakiError:
            return False

    @cached_property
    def end_id(self) -> int:
        """The token that the template writes behind an answer (Gemma's is not its eos), else eos.

        Raises:
            MigakiError: it writes none, and the tokenizer has no eos.
        """
        try:
            behind = self.render([ASK, {"role": "assistant", "content": NEEDLE}]).rpartition(NEEDLE)[2].strip()
        except MigakiError:
            behind = ""
        ids = self.controls.encode(behind) if behind else []
        if ids and ids[0] in self.controls.ids_of.values():
            return ids[0]
        eos = self.tokenizer.eos_token_id
        if eos is None:
            raise MigakiError(
                "nothing ends an answer of this model: its chat template writes no token of its own behind one, and its tokenizer has no "
                "eos_token; name one in tokenizer_config.json"
            )
        return cast(int, eos)

    def tools(self, tools: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """The tools that may be called, where the template has a place for them."""
        return tools if self.takes_tools else ()

    def fitted(self, messages: Sequence[Message]) -> Fitted:
        """The messages, with what the template does not take folded into what it does. Nothing is left out but an answer before any question."""
        found = Fitted(list(messages))
        steps: list[tuple[bool, Callable[[list[Message]], list[Message]], str]] = [
            (self.takes_calls, _calls_as_text, "calls of tools and their results written as text: the model's template has none"),
            (self.takes_system, _folded, "system turns folded into the next question: the model's template has none"),
            (self.takes_several_systems, _one_system, "later system turns folded into the next question"),
            (
                self.takes_opening,
                _without_opening,
                "answers before the first question left out: the model's template cannot begin with one",
            ),
            (self.takes_consecutive, _joined, "turns in a row of the same role joined"),
        ]
        for takes, change, note in steps:
            changed = found.messages if takes else change(found.messages)
            if changed != found.messages:
                found.messages, found.notes = changed, [*found.notes, note]
        return found


_KEPT = "_migaki_format"  # in the tokenizer itself: a dictionary of tokenizers would keep them all


def chat_format(tokenizer: PreTrainedTokenizerBase) -> ChatFormat:
    """The tokenizer's; one without a template is given the default. Worked out once."""
    known: ChatFormat | None = vars(tokenizer).get(_KEPT)
    if known is None or known.template != tokenizer.chat_template or known.tokenizer is not tokenizer:
        if not isinstance(tokenizer.chat_template, str) or not tokenizer.chat_template:
            settle(tokenizer)
        known = vars(tokenizer)[_KEPT] = ChatFormat(tokenizer)
    return known


def freeze_date(tokenizer: PreTrainedTokenizerBase, day: str) -> None:
    """Let the template write that day (YYYY-MM-DD) from now on: what is learnt and measured must not depend on when.

    Raises:
        MigakiError: it is no day.
    """
    chat_format(tokenizer)  # gives it a template
    vars(tokenizer)[_KEPT] = ChatFormat(tokenizer, day)


def _calls_as_text(messages: list[Message]) -> list[Message]:
    changed: list[Message] = []
    for message in messages:
        if message.get("tool_calls"):
            changed.append({"role": "assistant", "content": said(message)})
        elif message["role"] == "tool":
            name = message.get("name")
            changed.append({"role": "user", "content": f"{name}: {message['content']}" if name else message["content"]})
        else:
            changed.append(message)
    return changed


def _folded(messages: list[Message], keep_first: bool = False) -> list[Message]:
    """System texts before the next question; before nothing, behind the last."""
    changed, waiting = list[Message](), list[str]()
    for place, message in enumerate(messages):
        if message["role"] == "system" and not (keep_first and place == 0):
            waiting.append(message["content"])
        elif message["role"] == "user" and waiting:
            changed.append(message | {"content": "\n\n".join([*waiting, message["content"]])})
            waiting = []
        else:
            changed.append(message)
    asked = next((place for place in reversed(range(len(changed))) if changed[place]["role"] == "user"), None)
    if waiting and asked is not None:
        changed[asked] = changed[asked] | {"content": "\n\n".join([changed[asked]["content"], *waiting])}
    return changed


def _one_system(messages: list[Message]) -> list[Message]:
    first = next((place for place, message in enumerate(messages) if message["role"] != "system"), len(messages))
    texts = [message["content"] for message in messages[:first]]
    begun: list[Message] = [{"role": "system", "content": "\n\n".join(texts)}] if texts else []
    return _folded([*begun, *messages[first:]], keep_first=bool(begun))


def _without_opening(messages: list[Message]) -> list[Message]:
    asked = next((place for place, message in enumerate(messages) if message["role"] == "user"), 0)
    return [message for place, message in enumerate(messages) if place >= asked or message["role"] == "system"]


def _joined(messages: list[Message]) -> list[Message]:
    changed: list[Message] = []
    for message in messages:
        before = changed[-1] if changed else None
        plain = before and not before.get("tool_calls") and not message.get("tool_calls") and message["role"] != "tool"
        if before and plain and before["role"] == message["role"]:
            changed[-1] = before | {"content": f"{before['content']}\n\n{message['content']}"}
        else:
            changed.append(message)
    return changed
