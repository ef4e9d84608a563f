"""Tools and their calls. Whatever goes wrong in a call becomes a message that the model can use, never an exception."""

import difflib
import inspect
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from tasks.chatbot.tools.bounds import check_schema
from tasks.chatbot.tools.calls import Returned, Told
from tasks.chatbot.tools.schema import Schema, arguments_model, parameters_schema
from tasks.errors import MigakiError

Rule = Callable[[str], list[dict[str, Any]]]  # question -> the arguments of every call that it plainly asks for
LONGEST_ARGUMENTS = 20_000  # characters of JSON


@dataclass(frozen=True)
class Tool:
    """Something that a model may call. Without a function, whoever declared it runs it. `over` makes the same tool over another index, for one that
    searches in an index."""

    name: str
    description: str
    parameters: Schema
    function: Callable[..., Any] | None = None
    arguments: type[BaseModel] | None = None
    given: frozenset[str] = frozenset()
    rule: Rule | None = None
    exact: bool = False
    over: "Callable[[Any], Tool] | None" = None

    @classmethod
    def of(cls, function: Callable[..., Any], rule: Rule | None = None, exact: bool = False) -> "Tool":
        """A typed function: its name, what its docstring says, and the parameters of its signature.

        Args:
            rule: finds calls of the tool in a question; a tool that has one is called by it alone, one without is chosen by likelihood.
            exact: what it returns is the answer, to be said as it is: a model could only get it wrong.

        Raises:
            MigakiError: the function has no docstring, or a parameter that cannot be offered to a model.
        """
        description = inspect.getdoc(function)
        if not description:
            raise MigakiError(f"tool {function.__name__!r} has no docstring: a model can only choose what is described")
        model, given = arguments_model(function)
        return cls(
            function.__name__,
            description.partition("\n\n")[0].replace("\n", " "),
            parameters_schema(model),
            function,
            model,
            given,
            rule,
            exact,
        )

    @classmethod
    def declared(cls, schema: Schema) -> "Tool":
        """A tool that somebody else runs, from its schema in OpenAI's form (with or without the wrapping `function`).

        Raises:
            MigakiError: it has no name.
            UnusableSchema: its parameters are no schema of an object, or ask for too much.
        """
        facts = schema.get("function", schema)
        if not isinstance(facts, dict) or not isinstance(facts.get("name"), str) or not facts["name"]:
            raise MigakiError(
                f"a tool without a name: {json.dumps(schema, ensure_ascii=False)[:200]}; expected {{'name', 'description', 'parameters'}}"
            )
        parameters = facts.get("parameters") or {"type": "object"}
        check_schema(parameters, "parameters")
        parameters = parameters | {"properties": parameters.get("properties") or {}}
        return cls(facts["name"], str(facts.get("description") or ""), parameters)

    @property
    def schema(self) -> Schema:
        """As OpenAI's protocol shows it."""
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": self.parameters}}


@dataclass(eq=False)
class _Job:
    """A call that runs in a thread of its own."""

    done: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    error: BaseException | None = None


class ToolBox:
    """The tools of a chat. Safe to call from several threads at once.

    A call that takes longer than `timeout` seconds is given up; its thread cannot be ended and is left behind. While `max_hanging` of one tool
    have not come to an end, further calls of it are refused, and of the others none. Results are cut at `max_characters`.
    """

    def __init__(self, tools: list[Tool], timeout: float = 10.0, max_characters: int = 2000, max_hanging: int = 8):
        self.tools = {tool.name: tool for tool in tools}
        if len(self.tools) < len(tools):
            names = [tool.name for tool in tools]
            raise MigakiError(
                f"two tools are called {next(name for name in names if names.count(name) > 1)!r}: each needs a name of its own"
            )
        self.timeout, self.max_characters, self.max_hanging = timeout, max_characters, max_hanging
        self._hanging: dict[str, set[_Job]] = {}
        self._lock = threading.Lock()

    def over(self, index: Any) -> "ToolBox":
        """These tools, of which those that search in an index search in this one."""
        tools = [tool.over(index) if tool.over else tool for tool in self.tools.values()]
        return ToolBox(tools, self.timeout, self.max_characters, self.max_hanging)

    def schemas(self) -> list[Schema]:
        return [tool.schema for tool in self.tools.values()]

    def call(
        self, name: str, arguments: dict[str, Any] | str, timeout: float | None = None, given: Mapping[str, Any] | None = None
    ) -> Returned:
        """Check the arguments and run the tool; never raises.

        Args:
            arguments: a mapping, or JSON text of one.
            timeout: seconds; the toolbox's own when None.
            given: what the program knows (such as the user's `groups`), for the tools that ask for it.
        """
        tool = self.tools.get(name)
        if tool is None:
            near = difflib.get_close_matches(str(name), self.tools, n=1)
            return Returned(
                name,
                False,
                f"there is no tool {name!r}; {f'did you mean {near[0]!r}? ' if near else ''}there are: {', '.join(self.tools) or 'none'}",
            )
        if tool.function is None or tool.arguments is None:
            return Returned(name, False, f"the tool {name!r} is not run here but by whoever declared it")
        try:
            checked = tool.arguments.model_validate(_mapping(arguments))
        except (ValidationError, ValueError, RecursionError) as error:
            return Returned(
                name,
                False,
                self._cut(f"these arguments do not fit: {_told(error)}. Expected: {json.dumps(tool.parameters, ensure_ascii=False)}"),
            )
        values = {field_name: getattr(checked, field_name) for field_name in type(checked).model_fields}
        return self._run(tool, values | {key: value for key, value in (given or {}).items() if key in tool.given}, timeout or self.timeout)

    def _run(self, tool: Tool, values: dict[str, Any], timeout: float) -> Returned:
        with self._lock:
            hanging = self._hanging[tool.name] = {job for job in self._hanging.get(tool.name, ()) if not job.done.is_set()}
            if len(hanging) >= self.max_hanging:
                return Returned(
                    tool.name, False, f"{len(hanging)} earlier calls of {tool.name!r} have not come to an end; answer without it"
                )
        job = _Job()
        threading.Thread(target=_work, args=(job, tool.function, values), name=f"tool {tool.name}", daemon=True).start()
        if not job.done.wait(timeout):
            with self._lock:
                self._hanging[tool.name].add(job)
            return Returned(tool.name, False, f"the tool took longer than {timeout:g} s and was given up; answer without it")
        if job.error is not None:
            return Returned(tool.name, False, self._cut(f"the tool failed: {_told(job.error)}"))
        passages = job.value.passages if isinstance(job.value, Told) else ()
        return Returned(tool.name, True, self._cut(_text(job.value)), passages)

    def _cut(self, text: str) -> str:
        return text if len(text) <= self.max_characters else f"{text[: self.max_characters]}… ({len(text)} characters, cut)"


def _work(job: _Job, function: Callable[..., Any], values: dict[str, Any]) -> None:
    try:
        job.value = function(**values)
    except BaseException as error:  # in a thread of its own, where nobody else would hear of it
        job.error = error
    finally:
        job.done.set()


def _mapping(arguments: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(arguments, str):
        if len(arguments) > LONGEST_ARGUMENTS:
            raise ValueError(f"{len(arguments)} characters, {LONGEST_ARGUMENTS} are the most")
        arguments = json.loads(arguments)
    if not isinstance(arguments, dict):
        raise ValueError(f"a {type(arguments).__name__} was given, a JSON object is needed")
    return arguments


def _told(error: BaseException) -> str:
    """An error in a line that a model can act on."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}" for problem in error.errors(include_url=False)[:5]
        )
    if isinstance(error, json.JSONDecodeError):
        return f"no valid JSON ({error})"
    return str(error) if isinstance(error, MigakiError | ValueError) and str(error) else f"{type(error).__name__} {error}".strip()


def _text(value: Any) -> str:
    if isinstance(value, Told):
        return value.text
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
