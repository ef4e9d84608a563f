"""Every call of a normal chat, made by OpenAI's and LangChain's own clients: run by `clients.py` in an environment that has them and nothing of Migaki.

    CLIENT_ENV/bin/python benchmarks/clients_calls.py URL TOKEN

Prints an object a line: the call, its seconds, and what was wrong or "".
"""

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import openai
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.helpers.housekeeping import PROMPTS  # texts alone

Call = Callable[[openai.OpenAI, str, str], None]
CALLS: list[Call] = []
MODEL = "migaki"
HELLO = [{"role": "user", "content": "Write one sentence about the sea."}]
HELLO_JA = [{"role": "user", "content": "海について一文書いてください。"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city today",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASKED = [{"role": "user", "content": "What is the weather in Kyoto today?"}]


class Person(BaseModel):
    name: str
    age: int


class Family(BaseModel):
    people: list[Person]
    home: str | None


def call(function: Call) -> Call:
    CALLS.append(function)
    return function


@call
def models(client: openai.OpenAI, url: str, key: str) -> None:
    names = [model.id for model in client.models.list()]
    assert names and client.models.retrieve(names[0]).id == names[0], names


@call
def chat(client: openai.OpenAI, url: str, key: str) -> None:
    for messages in (HELLO, HELLO_JA):
        done = client.chat.completions.create(model=MODEL, messages=messages)
        assert done.choices[0].message.content and done.choices[0].finish_reason in ("stop", "length"), done
        assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens, done.usage


@call
def stream(client: openai.OpenAI, url: str, key: str) -> None:
    for messages in (HELLO, HELLO_JA):
        chunks = list(client.chat.completions.create(model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        wrote = chunks[-2].model_extra["migaki"]["reason"] == "answered" and not chunks[-2].model_extra["migaki"]["quoted"]
        assert chunks[-2].choices[0].finish_reason and (chunks[-1].usage.completion_tokens > 0) == wrote, chunks[-2:]


@call
def seed_and_sampling(client: openai.OpenAI, url: str, key: str) -> None:
    how = {"temperature": 1.2, "top_p": 0.95, "max_tokens": 24}
    more = {"top_k": 40, "min_p": 0.02, "repetition_penalty": 1.1}
    said = [
        client.chat.completions.create(model=MODEL, messages=HELLO, seed=seed, **how, extra_body=more).choices[0].message.content
        for seed in (7, 7, 8)
    ]
    assert said[0] == said[1], said


@call
def beams(client: openai.OpenAI, url: str, key: str) -> None:
    done = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=16, extra_body={"num_beams": 3})
    assert done.choices[0].message.content


@call
def several(client: openai.OpenAI, url: str, key: str) -> None:
    done = client.chat.completions.create(model=MODEL, messages=HELLO, n=2, seed=1, temperature=1.0, max_tokens=24)
    assert [choice.index for choice in done.choices] == [0, 1] and all(choice.message.content for choice in done.choices)
    parts = {0: "", 1: ""}
    for chunk in client.chat.completions.create(model=MODEL, messages=HELLO, n=2, seed=1, temperature=1.0, max_tokens=24, stream=True):
        for choice in chunk.choices:
            parts[choice.index] += choice.delta.content or ""
    assert all(parts.values()), parts


@call
def logprobs(client: openai.OpenAI, url: str, key: str) -> None:
    for messages in (HELLO, HELLO_JA):
        choice = client.chat.completions.create(model=MODEL, messages=messages, logprobs=True, top_logprobs=3, max_tokens=24).choices[0]
        if choice.logprobs is None:  # the model did not write it
            continue
        tokens = choice.logprobs.content
        assert all(token.logprob <= 0 and len(token.top_logprobs) == 3 for token in tokens)
        assert all(sum(math.exp(other.logprob) for other in token.top_logprobs) <= 1.001 for token in tokens)
        if not any("\ufffd" in token.token for token in tokens):
            assert choice.message.content.startswith("".join(token.token for token in tokens)), (choice.message.content, tokens)


@call
def stop_strings(client: openai.OpenAI, url: str, key: str) -> None:
    done = client.chat.completions.create(model=MODEL, messages=HELLO, stop=["e"])
    assert "e" not in done.choices[0].message.content


@call
def tools(client: openai.OpenAI, url: str, key: str) -> None:
    choice = client.chat.completions.create(model=MODEL, messages=ASKED, tools=[WEATHER], tool_choice="required").choices[0]
    asked = choice.message.tool_calls[0]
    assert choice.finish_reason == "tool_calls" and isinstance(json.loads(asked.function.arguments)["city"], str)
    result = {"role": "tool", "tool_call_id": asked.id, "content": "Rain, 12 degrees"}
    after = client.chat.completions.create(model=MODEL, messages=[*ASKED, choice.message, result], tools=[WEATHER])
    assert after.choices[0].message.content, after


@call
def tools_streaming(client: openai.OpenAI, url: str, key: str) -> None:
    name, arguments, finish = "", "", None
    for chunk in client.chat.completions.create(model=MODEL, messages=ASKED, tools=[WEATHER], tool_choice="required", stream=True):
        for one in chunk.choices[0].delta.tool_calls or []:
            name, arguments = name + (one.function.name or ""), arguments + (one.function.arguments or "")
        finish = chunk.choices[0].finish_reason or finish
    assert (name, finish) == ("get_weather", "tool_calls") and "city" in json.loads(arguments), (name, arguments, finish)


@call
def parse(client: openai.OpenAI, url: str, key: str) -> None:
    for text in ("The family in Kyoto: Anna is 31, Ken is 5.", "京都の家族: 花子は31歳、健は5歳。"):
        done = client.beta.chat.completions.parse(model=MODEL, messages=[{"role": "user", "content": text}], response_format=Family)
        assert isinstance(done.choices[0].message.parsed, Family), done


@call
def json_object(client: openai.OpenAI, url: str, key: str) -> None:
    done = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Describe a cat as JSON."}], response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(done.choices[0].message.content), dict)


@call
def schema_refused(client: openai.OpenAI, url: str, key: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    error = _refused(openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=HELLO, response_format=wanted))
    assert error.param == "response_format.json_schema.schema.properties.a" and "uniqueItems" in error.message, error


@call
def errors(client: openai.OpenAI, url: str, key: str) -> None:
    wrong = [
        (openai.NotFoundError, lambda: client.chat.completions.create(model="gpt-4o", messages=HELLO)),
        (openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=[])),
        (openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=HELLO, presence_penalty=1.0)),
        (openai.NotFoundError, lambda: client.embeddings.create(model=MODEL, input="x")),
    ]
    if key:
        other = openai.OpenAI(base_url=f"{url}/v1", api_key="wrong-0123456789abcdef", max_retries=0)
        wrong.append((openai.AuthenticationError, lambda: other.models.list()))
    for kind, ask in wrong:
        _refused(kind, ask)


@call
def unknown_fields(client: openai.OpenAI, url: str, key: str) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=HELLO, max_tokens=4, extra_body={"of_2030": 1, "top_k": None}
    )
    assert raw.headers["x-migaki-ignored"] == "of_2030", raw.headers


@call
def page_prompts(client: openai.OpenAI, url: str, key: str) -> None:
    for name, prompt in PROMPTS.items():
        done = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": prompt}], max_completion_tokens=1000)
        said = done.choices[0].message.content
        assert done.model_extra["migaki"]["sources"] == [] and done.model_extra["migaki"]["reason"] == "answered", (name, done)
        assert said if name == "in_plain_text" else isinstance(json.loads(said), dict), (name, said)


@call
def langchain_chat(client: openai.OpenAI, url: str, key: str) -> None:
    llm = _langchain(url, key)
    assert llm.invoke("Write one sentence about the sea.").content
    assert "".join(chunk.content for chunk in llm.stream([HumanMessage("海について一文書いてください。")]))
    both = llm.batch(["Write one sentence about rain.", "Write one sentence about snow."])
    assert all(one.content and one.usage_metadata["input_tokens"] for one in both), both


@call
def langchain_tools(client: openai.OpenAI, url: str, key: str) -> None:
    @tool
    def get_weather(city: str) -> str:
        """The weather of a city today."""
        return f"Rain in {city}"

    asked = _langchain(url, key).bind_tools([get_weather], tool_choice="get_weather").invoke("What is the weather in Kyoto today?")
    assert asked.tool_calls[0]["name"] == "get_weather" and asked.tool_calls[0]["args"]["city"], asked


@call
def langchain_structured(client: openai.OpenAI, url: str, key: str) -> None:
    for method in ("json_schema", "function_calling"):
        found = _langchain(url, key).with_structured_output(Person, method=method).invoke("Anna is 31 years old.")
        assert isinstance(found, Person), (method, found)


@call
def langchain_logprobs(client: openai.OpenAI, url: str, key: str) -> None:
    said = _langchain(url, key).bind(logprobs=True, top_logprobs=2).invoke("Write one sentence about the sea.")
    assert "logprobs" in said.response_metadata, said


def _refused(kind: type[openai.APIStatusError], ask: Callable[[], object]) -> openai.APIStatusError:
    try:
        ask()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def _langchain(url: str, key: str) -> ChatOpenAI:
    return ChatOpenAI(base_url=f"{url}/v1", api_key=key or "none", model=MODEL, max_tokens=48, temperature=0.3, max_retries=0)


def main(url: str, key: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key or "none", max_retries=0)
    for function in CALLS:
        begun, wrong = time.monotonic(), ""
        try:
            function(client, url, key)
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"[:500]
        print(json.dumps({"call": function.__name__, "seconds": round(time.monotonic() - begun, 1), "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
