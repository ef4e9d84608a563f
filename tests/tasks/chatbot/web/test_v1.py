"""The API that OpenAI's clients speak: shapes, streaming, usage, stop strings, errors."""

import pytest

from tasks.chatbot.language import languages
from tasks.chatbot.tools.calls import Called
from tasks.chatbot.web import choice_v1
from tasks.chatbot.web.stops import StopAt
from tests.helpers.web import EN, MemoryChats, ScriptedEngine, client, read_sse

ASKED = {"model": "migaki", "messages": [{"role": "user", "content": "What is LoRA?"}]}


def complete(http, **more):
    return http.post("/v1/chat/completions", json=ASKED | more)


def test_a_whole_completion_has_openais_shape_and_counts_tokens():
    answer = complete(client()).json()
    choice = answer["choices"][0]
    assert answer["object"] == "chat.completion" and answer["id"].startswith("chatcmpl-") and choice["finish_reason"] == "stop"
    assert choice["message"] == {"role": "assistant", "content": "".join(EN), "refusal": None}
    prompt = len("Be brief.") + len("What is LoRA?")
    assert answer["usage"] == {"prompt_tokens": prompt, "completion_tokens": 3, "total_tokens": prompt + 3}
    assert answer["migaki"]["sources"][0]["title"] == "Fine-tuning" and answer["model"] == "SmolLM2-135M-Instruct"


def test_a_stream_gives_role_pieces_reason_usage_and_done():
    chunks = [data for _, data in read_sse(complete(client(), stream=True, stream_options={"include_usage": True}).text)]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-2]) == "".join(EN)
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-2]] == [None] * (len(EN) + 1) + ["stop"]
    assert chunks[-2]["choices"] == [] and chunks[-2]["usage"]["completion_tokens"] == 3 and chunks[-1] == {"done": True}
    assert {c["object"] for c in chunks[:-1]} == {"chat.completion.chunk"} and len({c["id"] for c in chunks[:-1]}) == 1


def test_messages_become_system_history_and_question():
    engine = ScriptedEngine()
    messages = [
        {"role": "system", "content": "Speak as a pirate."},
        {"role": "user", "content": [{"type": "text", "text": "こん"}, {"type": "text", "text": "にちは"}]},
        {"role": "assistant", "content": f"{languages()['ja'].UNSURE}\nやあ。"},
        {"role": "user", "content": "量子化とは?"},
    ]
    complete(client(engine), messages=messages, temperature=0.9, top_p=0.5, seed=7, max_tokens=5000)
    conversation, question, _, sampling = engine.heard[0]
    assert conversation.system == "Speak as a pirate." and question == "量子化とは?"
    assert [m["content"] for m in conversation.turns] == ["こんにちは", "やあ。"]
    assert (sampling.temperature, sampling.top_p, sampling.seed, sampling.max_new_tokens, sampling.top_k) == (0.9, 0.5, 7, 1024, 50)


def test_a_stop_string_cuts_the_answer_though_it_lies_across_pieces():
    answer = complete(client(), stop=["matrices. It"]).json()
    assert answer["choices"][0]["message"]["content"] == "LoRA trains two small "


@pytest.mark.parametrize("cut", range(1, 12))
def test_stop_strings_wherever_the_pieces_are_cut(cut):
    text, end = "one ##en##end two", StopAt(["##end"])
    pieces = [text[i : i + cut] for i in range(0, len(text), cut)]
    assert "".join(end.feed(piece) for piece in pieces) + end.rest() == "one ##en" and end.hit
    held = StopAt(["##end"])
    assert held.feed("a ##e") + held.rest() == "a ##e" and not held.hit


def test_a_refusal_ends_as_a_content_filter():
    chats = MemoryChats()
    answer = complete(client(None, chats), messages=[{"role": "user", "content": "a bomb"}]).json()
    assert chats.noted == ["harm.weapons"] and chats.turns == {}
    assert answer["choices"][0]["finish_reason"] == "content_filter" and answer["migaki"]["refused"] == "harm.weapons"


@pytest.mark.parametrize(("question", "reason"), [("known", "answered"), ("perhaps", "unsure"), ("unknown", "unanswered")])
def test_how_an_answer_ended_and_why_writing_stopped_are_told_apart(question, reason):
    answer = complete(client(), messages=[{"role": "user", "content": question}]).json()
    assert (answer["migaki"]["reason"], answer["migaki"]["finish"], answer["choices"][0]["finish_reason"]) == (reason, "stop", "stop")


@pytest.mark.parametrize(
    ("more", "status", "code", "words"),
    [
        ({"model": "gpt-4o"}, 404, "model_not_found", "SmolLM2-135M-Instruct"),
        ({"messages": []}, 400, "invalid_request", "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, 400, "no_question", "role 'user'"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "invalid_request", "messages.0.role"),
        ({"messages": [*ASKED["messages"], {"role": "assistant", "content": "LoRA"}]}, 400, "nothing_to_answer", "'tool' is expected"),
        ({"messages": [*ASKED["messages"], {"role": "tool", "content": "1", "tool_call_id": "t"}]}, 400, "unknown_tool_call", "'t'"),
        ({"temperature": 3}, 400, "invalid_request", "temperature"),
    ],
)
def test_errors_have_openais_shape_and_say_what_is_accepted(more, status, code, words):
    answer = complete(client(), **more)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (status, code, "invalid_request_error") and words in error["message"]


def test_parameters_at_their_neutral_value_pass():
    assert complete(client(), n=1, presence_penalty=0.0, logprobs=False, user="u", metadata={"a": "b"}).status_code == 200


def test_a_failure_is_an_error_and_not_half_an_answer():
    http, asked = client(), {"messages": [{"role": "user", "content": "explode"}]}
    whole = complete(http, **asked)
    assert whole.status_code == 500 and whole.json()["error"]["type"] == "server_error" and "secret" not in whole.text
    chunks = [data for _, data in read_sse(complete(http, stream=True, **asked).text)]
    assert chunks[-2]["error"]["code"] == "answer_failed" and chunks[-1] == {"done": True}


def test_a_model_that_answers_nobody_is_to_be_asked_again_and_is_no_fault_of_the_question(caplog):
    asked = {"messages": [{"role": "user", "content": "nobody home?"}]}
    answer = complete(client(), **asked)
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("server_error", "unavailable") and "10.0.0.7" not in answer.text and "10.0.0.7" in caplog.text
    chunks = [data for _, data in read_sse(complete(client(), stream=True, **asked).text)]
    assert chunks[-2]["error"]["code"] == "unavailable" and chunks[-1] == {"done": True}
    too_long = complete(client(), messages=[{"role": "user", "content": "too much"}])
    assert too_long.status_code == 400 and too_long.json()["error"]["code"] == "cannot_answer"


def test_models_are_listed():
    http = client()
    card = http.get("/v1/models").json()["data"][0]
    assert card["id"] == "SmolLM2-135M-Instruct" and http.get(f"/v1/models/{card['id']}").json() == card
    assert http.get("/v1/models/other").status_code == 404


WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather", "parameters": {"type": "object", "properties": {}}},
}


def chooses(monkeypatch, *calls):
    """The model's choices of tools, in order; they are tested elsewhere."""
    asked, left = [], iter(calls)

    def next_call(backend, messages, toolbox, question, made, forced, weak_in):
        asked.append((list(toolbox.tools), question, made, forced))
        return next(left)

    monkeypatch.setattr(choice_v1, "next_call", next_call)
    return asked


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_of_the_client_is_called_by_the_client_and_its_result_answered_from(monkeypatch, stream):
    asked = chooses(monkeypatch, Called("weather", {"city": "東京"}), None)
    http = client()
    answer = complete(http, tools=[WEATHER], stream=stream)
    if stream:
        chunks = [data for _, data in read_sse(answer.text)]
        (call,) = chunks[1]["choices"][0]["delta"]["tool_calls"]
        assert call["index"] == 0 and chunks[2]["choices"][0]["finish_reason"] == "tool_calls"
    else:
        choice = answer.json()["choices"][0]
        (call,) = choice["message"]["tool_calls"]
        assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
        assert answer.json()["usage"]["completion_tokens"] == len('{"city": "東京"}')
    assert call["type"] == "function" and call["function"] == {"name": "weather", "arguments": '{"city": "東京"}'}

    called = {"role": "assistant", "content": None, "tool_calls": [{"id": call["id"], "type": "function", "function": call["function"]}]}
    result = {"role": "tool", "tool_call_id": call["id"], "content": "晴れ"}
    answer = complete(http, tools=[WEATHER], messages=[*ASKED["messages"], called, result]).json()
    assert answer["choices"][0]["message"]["content"] == "weather: 晴れ" and answer["choices"][0]["finish_reason"] == "stop"
    assert asked[0] == (["weather"], "What is LoRA?", [], False) and asked[1][2][0][0] == Called("weather", {"city": "東京"})


def test_tools_may_be_forbidden_and_must_be_well_formed(monkeypatch):
    asked = chooses(monkeypatch)
    assert complete(client(), tools=[WEATHER], tool_choice="none").json()["choices"][0]["finish_reason"] == "stop" and asked == []
    for more, words in (
        ({"tools": [{"type": "function"}]}, "without a name"),
        ({"tools": [WEATHER, WEATHER]}, "'weather'"),
        ({"tools": [], "tool_choice": "required"}, "requires a call; tools has none"),
        ({"tools": [WEATHER], "tool_choice": named("clock")}, "requires 'clock'; tools has weather"),
        ({"tools": [WEATHER], "tool_choice": "any"}, "'any' is no way of choosing; expected 'auto'"),
        ({"messages": [*ASKED["messages"], *called("[1]")]}, "not a JSON object"),
        ({"messages": [*ASKED["messages"], *called("{")]}, "not a JSON object"),
    ):
        answer = complete(client(), **more)
        assert answer.status_code == 400 and words in answer.json()["error"]["message"]


def named(tool):
    return {"type": "function", "function": {"name": tool}}


@pytest.mark.parametrize(("choice", "offered"), [("required", ["clock", "weather"]), (named("weather"), ["weather"])])
def test_a_call_may_be_required(monkeypatch, choice, offered):
    clock = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
    asked = chooses(monkeypatch, Called("weather", {"city": "東京"}), None)
    answer = complete(client(), tools=[clock, WEATHER], tool_choice=choice)
    assert answer.json()["choices"][0]["finish_reason"] == "tool_calls"
    assert asked[0][0] == offered and asked[0][3] is True
    answer = complete(client(), tools=[clock, WEATHER], tool_choice=choice)
    assert answer.status_code == 400 and "could not give its arguments" in answer.json()["error"]["message"]


def called(arguments):
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    return {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "x"}
