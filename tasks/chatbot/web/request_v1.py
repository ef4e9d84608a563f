"""The request of `/v1/chat/completions`, and what of it the engine understands."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

from tasks.chatbot.web.errors import ApiError
from tasks.text.messages import Message


class Part(BaseModel):
    type: Literal["text"]
    text: str


class FunctionCall(BaseModel):
    name: str
    arguments: str


class ToolCall(BaseModel):
    id: str
    function: FunctionCall


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: list[ToolCall] = []
    tool_call_id: str = ""

    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content or [])


class FunctionName(BaseModel):
    name: str


class NamedTool(BaseModel):
    type: Literal["function"]
    function: FunctionName


class StreamOptions(BaseModel):
    include_usage: bool = False


class Completion(BaseModel):
    """A request. Names not listed are kept, so that `NEUTRAL` can be checked."""

    model_config = {"extra": "allow"}
    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    tools: list[dict[str, Any]] = []
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

    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else [text for text in self.stop or [] if text]


@dataclass(frozen=True)
class Dialogue:
    """Messages sorted out: `turns` are whole earlier ones, `made` the calls of tools since the `question`, each with its result."""

    system: str
    turns: list[Message]
    question: str
    made: list[tuple[FunctionCall, str]]


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
    turns = [{"role": message.role, "content": message.text()} for message in talk[:asked] if message.role != "tool" and message.text()]
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
