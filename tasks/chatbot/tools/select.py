"""Which tool to call next, if any: rules for the bundled tools, calibrated relevance for all others, arguments under a grammar."""

from collections.abc import Collection

from tasks.chatbot.tools.arguments import decode_arguments
from tasks.chatbot.tools.calls import Called, Returned
from tasks.chatbot.tools.relevance import closest, most_relevant
from tasks.chatbot.tools.toolbox import Tool, ToolBox
from tasks.inference.backend import Backend
from tasks.text.messages import Message

THRESHOLD = 0.5  # least probability that a tool is wanted
READ = 600  # characters of a question that the rules read: their patterns are not linear
TRIES = 2  # calls of one tool without a rule: one more after a failure, with its message in sight


def next_call(
    backend: Backend,
    messages: list[Message],
    toolbox: ToolBox,
    question: str,
    made: list[tuple[Called, Returned]],
    forced: bool = False,
    weak_in: Collection[str] = (),
) -> Called | None:
    """The next call that the question asks for, or None. A call is never made twice.

    Args:
        messages: the conversation, the question last.
        made: the calls that the question has led to so far, and what they gave.
        forced: the most relevant tool is called whatever the question asks for, and whatever was called before.
        weak_in: languages that the model writes poorly, see `decode_arguments`.
    """
    earlier = [called for called, _ in made]
    for tool in toolbox.tools.values():
        for arguments in tool.rule(question[:READ]) if tool.rule else ():
            if (call := Called(tool.name, arguments)) not in earlier:
                return call
    chosen = _chosen(backend, toolbox, question, made)
    if chosen is None and forced:
        tools = list(toolbox.tools.values())
        best = most_relevant(backend, question, tools)
        chosen = best[0] if best else closest(question, tools)
    if chosen is None:
        return None
    decoded = decode_arguments(backend, messages, chosen, question, made, weak_in)
    if decoded is None:
        return None
    call = Called(chosen.name, decoded)
    return None if call in earlier and not forced else call


def _chosen(backend: Backend, toolbox: ToolBox, question: str, made: list[tuple[Called, Returned]]) -> Tool | None:
    """The tool whose last call failed, once more; else the most relevant of those without a rule that were not called."""
    if made and not made[-1][1].ok:
        failed = toolbox.tools.get(made[-1][0].name)
        if failed and not failed.rule:
            return failed if sum(called.name == failed.name for called, _ in made) < TRIES else None
    called = [tool for tool in toolbox.tools.values() if any(call.name == tool.name for call, _ in made)]
    left = [tool for tool in toolbox.tools.values() if not tool.rule and tool not in called]
    best = most_relevant(backend, question, left, called) if left else None
    return best[0] if best and best[1] >= THRESHOLD else None
