"""Which tool to call next, if any, and with which arguments."""

from typing import Any

from tasks.chatbot.backends import Backend
from tasks.chatbot.events import Called, Returned
from tasks.chatbot.tools.toolbox import ToolBox

Message = dict[str, str]


def next_call(
    backend: Backend, messages: list[Message], toolbox: ToolBox, question: str, made: list[tuple[Called, Returned]]
) -> Called | None:
    """The next call that the question asks for, or None. A call is never made twice."""
    earlier: list[tuple[str, dict[str, Any]]] = [(called.name, called.arguments) for called, _ in made]
    for tool in toolbox.tools.values():
        for arguments in tool.rule(question) if tool.rule else ():
            if (tool.name, arguments) not in earlier:
                return Called(tool.name, arguments)
    return None
