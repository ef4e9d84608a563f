"""The request of `/v1/chat/completions`, and what of it the engine understands."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from tasks.chatbot.quoting import without_notices
from tasks.chatbot.tools.bounds import MAX_BYTES, MAX_TOOLS
from tasks.chatbot.tools.toolbox import LONGEST_ARGUMENTS
from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.format_v1 import ResponseFormat
from tasks.chatbot.web.json_body import Asked, check_json
from tasks.chatbot.web.settings import ServeSettings
from tasks.text.messages import Message

MAX_CHOICES = 4  # answers to one request
MAX_BEAMS = 4  # each costs about as much as an answer, and those of one request are decoded by themselves
StopString = Annotated[str, Field(max_length=256)]


class Part(Asked):
    type: Literal["text"]
    text: str


class FunctionCall(Asked):
    name: str = Field(max_length=256)
    arguments: str = Field(max_length=LONGEST_ARGUMENTS)


class ToolCall(Asked):
    id: str
    function: FunctionCall


class ChatMessage(Asked):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: list[ToolCall] = Field([])
    tool_call_id: str = ""

    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content or [])


class FunctionName(Asked):
    name: str


class NamedTool(Asked):
    type: Literal["function"]
    function: FunctionName


class StreamOptions(Asked):
    include_usage: bool = False


class Completion(Asked):
    """A request. Names not listed are kept, so that `fields_v1` can tell what becomes of them.

    `top_k`, `min_p`, `repetition_penalty` and `num_beams` are none of OpenAI's; they are called as vLLM and transformers call them.
    """

    model_config = ConfigDict(extra="allow")
    model: str = Field(max_length=512)
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=1_000_000)  # -1 and 0 draw from all tokens
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    num_beams: int | None = Field(None, ge=1, le=MAX_BEAMS)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    stop: StopString | Annotated[list[StopString], Field(max_length=16)] | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat = ResponseFormat(type="text")
    tools: list[dict[str, Any]] = Field([], max_length=MAX_TOOLS)
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = "auto"

    @property
    def forced(self) -> bool:
        """Whether one of the tools must be called."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, NamedTool)

    @field_validator("tool_choice", mode="before")
    @classmethod
    def known_choice(cls, value: Any) -> Any:
        if not (value is None or value in ("auto", "none", "required") or isinstance(value, dict)):
            raise ValueError(
                f"{value!r} is no way of choosing; expected 'auto', 'none', 'required' or {{'type': 'function', 'function': {{'name': ...}}}}"
            )
        return value

    @property
    def longest(self) -> int | None:
        """Tokens that an answer may have; None where the client leaves it to the server."""
        return self.max_completion_tokens or self.max_tokens

    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else [text for text in self.stop or [] if text]


@dataclass(frozen=True)
class Dialogue:
    """Messages sorted out: `turns` are whole earlier ones, `made` the calls of tools since the `question`, each with its result."""

    system: str
    turns: list[Message]
    question: str
    made: list[tuple[FunctionCall, str]]


def check_size(asked: Completion, settings: ServeSettings) -> None:
    """Refuse a request that is too large in what its fields hold together, before anything works on it.

    Raises:
        ApiError: 400, too many messages, characters or bytes of tools, or arguments of a call that no tool could have been given.
    """
    if len(asked.messages) > settings.max_messages:
        raise _too_large(
            "messages", f"{len(asked.messages):,} messages; at most {settings.max_messages:,} are accepted (serve.max_messages)"
        )
    characters = 0
    for place, message in enumerate(asked.messages):
        characters += len(message.text()) + sum(len(call.function.arguments) for call in message.tool_calls)
        for number, call in enumerate(message.tool_calls):
            check_json(call.function.arguments, f"messages.{place}.tool_calls.{number}.function.arguments")
    if characters > settings.max_characters:
        raise _too_large(
            "messages", f"{characters:,} characters; at most {settings.max_characters:,} are accepted together (serve.max_characters)"
        )
    if (size := len(json.dumps(asked.tools))) > MAX_BYTES:
        raise _too_large("tools", f"{size:,} bytes; at most {MAX_BYTES:,} are accepted together")


def _too_large(field: str, message: str) -> ApiError:
    return ApiError(400, "request_too_large", f"{field}: {message}", field)


def dialogue(messages: list[ChatMessage]) -> Dialogue:
    """Sort out the messages of a request. Calls of earlier turns are left out: the answers that followed say what came of them.

    Raises:
        ApiError: 400, no question is asked, or a tool's result belongs to no call.
    """
    system = "\n".join(message.text() for message in messages if message.role in ("system", "developer"))
    talk = [message for message in messages if message.role not in ("system", "developer")]
    asked = max((place for place, message in enumerate(talk) if message.role == "user"), default=-1)
    if asked < 0 or not talk[asked].text().strip():
        raise ApiError(400, "no_question", "the messages hold no question: the last message with role 'user' must have text", "messages")
    if talk[-1].role == "assistant":
        raise ApiError(
            400, "nothing_to_answer", "the last message is the assistant's; a message of role 'user' or 'tool' is expected", "messages"
        )
    said = [(message.role, message.text()) for message in talk[:asked] if message.role != "tool" and message.text()]
    turns: list[Message] = [{"role": role, "content": without_notices(text) if role == "assistant" else text} for role, text in said]
    return Dialogue(system, turns, talk[asked].text(), _made(talk[asked + 1 :]))


def _made(messages: list[ChatMessage]) -> list[tuple[FunctionCall, str]]:
    calls = {call.id: call.function for message in messages for call in message.tool_calls}
    results = [message for message in messages if message.role == "tool"]
    for message in results:
        if message.tool_call_id not in calls:
            known = f"; known are {', '.join(calls)}" if calls else ""
            raise ApiError(
                400, "unknown_tool_call", f"tool_call_id {message.tool_call_id!r} belongs to no call before it{known}", "messages"
            )
    return [(calls[message.tool_call_id], message.text()) for message in results]
