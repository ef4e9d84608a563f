"""Fields of a request: how the model draws, several answers, log-probabilities, JSON, what is refused by name and what is named as passed over."""

import json
import threading

import pytest

from tasks.chatbot.web.format_v1 import ANY_OBJECT
from tasks.inference.schemas import why_not
from tests.helpers.backends import until
from tests.helpers.housekeeping import HISTORY, IN_OTHER_WORDS, PROMPTS, QUESTIONS, TITLE
from tests.helpers.web import EN, JSON, MemoryChats, ScriptedEngine, client, read_sse

ASKED = {"model": "migaki", "messages": [{"role": "user", "content": "What is LoRA?"}]}


def complete(http, **more):
    return http.post("/v1/chat/completions", json=ASKED | more)


def error_of(answer):
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


def named(schema):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


# How the model draws.


def test_each_field_reaches_the_model():
    engine = ScriptedEngine()
    said = {"temperature": 1.5, "top_p": 0.5, "top_k": 7, "min_p": 0.1, "repetition_penalty": 1.2, "seed": 3}
    answer = complete(client(engine), **said, logprobs=True, top_logprobs=2)
    sampling = engine.heard[0][3]
    assert {name: getattr(sampling, name) for name in said} == said and sampling.logprobs == 2 and sampling.num_beams == 1
    assert "x-migaki-ignored" not in answer.headers
    complete(client(engine), num_beams=3, max_completion_tokens=9, top_k=-1)
    assert (engine.heard[1][3].num_beams, engine.heard[1][3].max_new_tokens, engine.heard[1][3].top_k) == (3, 9, 0)


def test_null_is_what_is_not_there():
    engine, plain = ScriptedEngine(), ScriptedEngine()
    names = ("n", "stream", "stream_options", "temperature", "top_p", "top_k", "min_p", "num_beams", "seed", "stop", "tools", "tool_choice")
    names += ("logprobs", "top_logprobs", "response_format", "repetition_penalty", "max_tokens", "max_completion_tokens")
    names += ("logit_bias", "audio", "functions", "user", "of_the_future")
    said = [{"role": "user", "content": "hi", "name": None}, {"role": "assistant", "content": "yes", "tool_calls": None, "refusal": None}]
    messages = [*said, {"role": "user", "content": "What is LoRA?", "tool_call_id": None}]
    answer = complete(client(engine), **dict.fromkeys(names), messages=messages)
    assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"] == "".join(EN)
    complete(client(plain), messages=messages)
    assert engine.heard[0][3] == plain.heard[0][3] and "x-migaki-ignored" not in answer.headers
    assert complete(client(), stream_options={"include_usage": None}, stream=True).status_code == 200
    assert complete(client(), response_format={"type": "text", "json_schema": None}).status_code == 200
    assert error_of(complete(client(), messages=None))["param"] == "messages"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"n": 5}, "n"),
        ({"n": 0}, "n"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": 1.5}, "min_p"),
        ({"num_beams": 5}, "num_beams"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"logprobs": 5}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "num_beams": 2}, "logprobs"),
        ({"n": 2, "num_beams": 2}, "n"),
        ({"num_beams": 2, "response_format": {"type": "json_object"}}, "num_beams"),
        ({"logprobs": True, "response_format": {"type": "json_object"}}, "logprobs"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"store": True}, "store"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"guided_json": {}}, "guided_json"),
        ({"best_of": 3}, "best_of"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format.json_schema.schema"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field_before_the_model_is_asked(more, field):
    engine = ScriptedEngine()
    error = error_of(complete(client(engine), **more))
    assert (error["type"], error["param"]) == ("invalid_request_error", field) and field.partition(".")[0] in error["message"]
    assert engine.heard == []


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"n": 9}, "n", "n = 9: Input should be less than or equal to 4"),
        ({"stop": 5}, "stop", "stop = 5: Input should be a valid string"),
        ({"temperature": "熱い"}, "temperature", 'temperature = "熱い": Input should be a valid number'),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages.0.content",
            "messages.0.content.0.type = \"image_url\": Input should be 'text'",
        ),
        ({"messages": [{"content": "x"}]}, "messages.0.role", "messages.0.role: Field required"),
        ({"model": None}, "model", "model: Field required"),
    ],
)
def test_a_field_of_a_wrong_kind_is_named_as_the_client_wrote_it_with_its_value(more, param, words):
    error = error_of(complete(client(), **more))
    assert error["param"] == param and words in error["message"]


def test_a_server_that_answers_in_the_models_place_may_heed_less():
    engine = ScriptedEngine()
    engine.backend.passes_over = frozenset({"num_beams", "min_p"})
    assert error_of(complete(client(engine), num_beams=2))["param"] == "num_beams"
    assert error_of(complete(client(engine), min_p=0.1))["param"] == "min_p"
    assert complete(client(engine), num_beams=1, min_p=0, top_k=3).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_unknown_fields_are_passed_over_and_named(stream):
    answer = complete(client(), stream=stream, foo=1, user="u", metadata={"a": "b"}, of_2030={"x": [1]}, parallel_tool_calls=False)
    assert answer.status_code == 200 and answer.headers["x-migaki-ignored"] == "foo, of_2030"


def test_names_of_unknown_fields_may_be_anything_and_many():
    strange = {"a,b\r\nSet-Cookie: x": 1, "名前": 2, "x" * 300: 3}
    answer = complete(client(), **strange)
    assert answer.headers["x-migaki-ignored"] == f"a?b??Set-Cookie:?x, ??, {'x' * 64}" and "set-cookie" not in answer.headers
    answer = complete(client(), **{f"f{i}": i for i in range(25)})
    assert answer.headers["x-migaki-ignored"].startswith("f0, f1, ") and answer.headers["x-migaki-ignored"].endswith("f19, and 5 more")


# Several answers.


def test_several_answers_have_an_index_each_a_seed_each_and_the_prompt_counts_once():
    engine = ScriptedEngine()
    answer = complete(client(engine), n=3, seed=2**63 - 2).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in answer["choices"]} == {"".join(EN)}
    one = complete(client()).json()["usage"]
    assert answer["usage"]["prompt_tokens"] == one["prompt_tokens"] and answer["usage"]["completion_tokens"] == 3 * one["completion_tokens"]
    assert sorted(heard[3].seed for heard in engine.heard) == [-(2**63), 2**63 - 2, 2**63 - 1]


def test_several_answers_stream_side_by_side():
    both = threading.Barrier(2, timeout=10)
    engine = ScriptedEngine(between=both.wait)  # none goes on before the other has come as far
    chunks = [data for _, data in read_sse(complete(client(engine), n=2, stream=True, stream_options={"include_usage": True}).text)]
    for index in (0, 1):
        mine = [chunk["choices"][0] for chunk in chunks[:-2] if chunk["choices"][0]["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant" and mine[-1]["finish_reason"] == "stop"
        assert "".join(choice["delta"].get("content", "") for choice in mine) == "".join(EN)
    assert chunks[-2]["usage"]["completion_tokens"] == 6 and chunks[-1] == {"done": True}


def test_answers_count_against_the_places_of_who_asks():
    assert error_of(complete(client(max_concurrent=2, max_waiting=1), n=4))["param"] == "n"
    assert len(complete(client(max_concurrent=2, max_waiting=1), n=3).json()["choices"]) == 3
    http, asked, go = client(ScriptedEngine(lambda: go.wait(10)), max_concurrent=2, max_waiting=1), threading.Event(), threading.Event()
    first = threading.Thread(target=lambda: [asked.set(), complete(http, n=2)])
    first.start()
    asked.wait()
    until(lambda: http.get("/health").json()["active"] == 2)
    refused = complete(http, n=2)
    go.set()
    first.join()
    assert refused.status_code == 503 and refused.json()["error"]["code"] == "busy"


def test_when_one_of_several_answers_fails_the_request_does_and_the_others_end():
    engine = ScriptedEngine()
    turns = iter([RuntimeError("the secret"), None])
    play = engine.answer

    def answer(*arguments, **more):
        if problem := next(turns):
            raise problem
        engine.endless = True
        yield from play(*arguments, **more)

    engine.answer = answer
    failed = complete(client(engine), n=2)
    assert failed.status_code == 500 and "secret" not in failed.text
    assert all(stop.is_set() for stop in engine.stops)


# Log-probabilities.


def tokens_of(logprobs):
    return [one["token"] for one in logprobs["content"]]


def test_log_probabilities_have_openais_shape_and_are_of_all_that_was_shown():
    answer = complete(client(), logprobs=True, top_logprobs=1).json()
    logprobs = answer["choices"][0]["logprobs"]
    assert tokens_of(logprobs) == [word for piece in EN for word in piece.split(" ")]
    other = {"token": "LoRA0", "logprob": -1.0, "bytes": list(b"LoRA0")}
    assert logprobs["content"][0] == {"token": "LoRA", "logprob": -4.0, "bytes": list(b"LoRA"), "top_logprobs": [other]}
    chunks = [data for _, data in read_sse(complete(client(), logprobs=True, stream=True).text)]
    told = [chunk["choices"][0]["logprobs"] for chunk in chunks[:-1]]
    assert [tokens_of(one) for one in told if one] == [piece.split(" ") for piece in EN] and told[0] is told[-1] is None


def test_none_are_told_of_what_the_model_did_not_write_or_nobody_saw():
    assert complete(client()).json()["choices"][0]["logprobs"] is None
    for question in ("unknown", "perhaps", "a bomb"):
        answer = complete(client(), messages=[{"role": "user", "content": question}], logprobs=True).json()
        assert answer["choices"][0]["message"]["content"] and answer["choices"][0]["logprobs"] is None
    cut = complete(client(), logprobs=True, stop=["small mat"]).json()["choices"][0]
    assert cut["message"]["content"] == "LoRA trains two " and tokens_of(cut["logprobs"]) == ["LoRA", "trains", "two"]


# JSON.


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_may_have_to_be_json(stream):
    engine = ScriptedEngine()
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"], "additionalProperties": False}
    for wanted, held_to in ((named(schema), schema), ({"type": "json_object"}, ANY_OBJECT), ({"type": "text"}, None)):
        answer = complete(client(engine), response_format=wanted, stream=stream, temperature=0.5)
        assert answer.status_code == 200 and engine.manners[-1] == (held_to, False)
        assert answer.headers.get("x-migaki-ignored") == (None if held_to is None else "temperature")
        if held_to is not None and not stream:
            assert json.loads(answer.json()["choices"][0]["message"]["content"]) == json.loads(JSON)


OBJECT = {"type": "object"}
WHERE = "response_format.json_schema.schema"


@pytest.mark.parametrize(
    ("schema", "path", "words"),
    [
        (OBJECT | {"properties": {"a": {"type": "array", "uniqueItems": True}}}, ".properties.a", "uniqueItems"),
        (OBJECT | {"properties": {"b": {"anyOf": [{"type": "null"}, {"not": {}}]}}}, ".properties.b.anyOf.1", "not"),
        (OBJECT | {"properties": {"a": {"type": "string", "pattern": "(?=x)y"}}}, ".properties.a", "regex"),
        (OBJECT | {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "wizard"}}}, ".$defs.A", "wizard"),
        (OBJECT | {"properties": {"a": {"$ref": "#/$defs/None"}}}, ".properties.a", "does not exist"),
        (OBJECT | {"properties": {"a": {"$ref": "https://example.org/a.json"}}}, ".properties.a", "example.org"),
        (OBJECT | {"additionalProperties": {"type": "wizard"}}, ".additionalProperties", "wizard"),
        (OBJECT | {"properties": {"a": {"type": "array", "minItems": 10**6}}}, ".properties.a.minItems", "at most 32"),
        (
            OBJECT | {"properties": {"a": {"type": "string", "minLength": 5, "maxLength": 3}}},
            ".properties.a.minLength",
            "nothing could fit",
        ),
        (OBJECT | {"$defs": {f"A{i}": {} for i in range(200)}}, ".$defs", "at most 100"),
        (OBJECT | {"properties": {"a": {"enum": ["x" * 70_000]}}}, "", "64,000"),
        (OBJECT | {"properties": {"a": True}}, ".properties.a", "no schema"),
    ],
)
def test_a_schema_that_no_grammar_can_do_is_refused_by_its_part(schema, path, words):
    engine = ScriptedEngine()
    error = error_of(complete(client(engine), response_format=named(schema)))
    assert (error["code"], error["param"]) == ("invalid_response_format", WHERE + path)
    assert words in error["message"] and error["message"].startswith(f"{WHERE}{path}: ") and engine.heard == []


def endless(required):
    step = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Step"}}, "required": required}
    return OBJECT | {"properties": {"first": {"$ref": "#/$defs/Step"}}, "required": ["first"], "$defs": {"Step": step}}


def test_a_schema_of_endless_texts_is_refused_and_one_that_may_end_is_not():
    error = error_of(complete(client(), response_format=named(endless(["next"]))))
    assert error["param"] == f"{WHERE}.$defs.Step" and "requires itself" in error["message"]
    assert error_of(complete(client(), response_format=named({"anyOf": [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}]})))["param"] == WHERE
    assert complete(client(), response_format=named(endless([]))).status_code == 200
    ends = endless(["next"])
    ends["$defs"]["Step"]["properties"]["next"] = {"anyOf": [{"$ref": "#/$defs/Step"}, {"type": "null"}]}
    assert complete(client(), response_format=named(ends)).status_code == 200


def test_schemas_of_pydantic_with_references_can_be_done():
    step = {"type": "object", "properties": {"says": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/Step"}, {"type": "null"}]}}}
    assert why_not({"type": "object", "properties": {"first": {"$ref": "#/$defs/Step"}}, "$defs": {"Step": step}}) == ""


# What a chat's page sends by itself.


@pytest.mark.parametrize("name", PROMPTS)
def test_what_a_page_asks_is_answered_by_the_model_alone_and_counts_as_nobodys_question(name):
    engine, chats = ScriptedEngine(), MemoryChats()
    http = client(engine, chats)
    answer = complete(http, messages=[{"role": "user", "content": PROMPTS[name]}], max_completion_tokens=1000).json()
    schema, alone = engine.manners[0]
    assert alone and (schema is None) == (name in ("in_plain_text", *IN_OTHER_WORDS)) and answer["migaki"]["sources"] == []
    if schema is not None:
        assert json.loads(answer["choices"][0]["message"]["content"]) == json.loads(JSON)
    conversation, question, _, sampling = engine.heard[0]
    assert question == PROMPTS[name] and conversation.system == "" and sampling.max_new_tokens == 256
    metrics = http.get("/metrics").text
    assert 'migaki_answers_total{channel="housekeeping",finish="stop",reason="answered"} 1.0' in metrics and 'channel="v1"' not in metrics
    assert "migaki_answer_seconds_count 0.0" in metrics and "migaki_first_token_seconds_count 0.0" in metrics


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_a_person_asks_in_a_like_form_is_looked_up(name):
    engine = ScriptedEngine()
    complete(client(engine), messages=[{"role": "user", "content": QUESTIONS[name]}])
    assert engine.manners == [(None, False)] and engine.heard[0][1] == QUESTIONS[name]


def test_behind_other_messages_it_is_a_persons():
    engine = ScriptedEngine()
    earlier = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}]
    complete(client(engine), messages=[*earlier, {"role": "user", "content": TITLE}])
    assert engine.manners == [(None, False)]


def test_what_a_page_asks_takes_no_place_of_people_and_is_made_one_at_a_time():
    go, running = threading.Event(), []

    def between():
        running.append(threading.current_thread())
        go.wait(10)

    http = client(ScriptedEngine(between), max_concurrent=1, max_waiting=3)
    asked = [threading.Thread(target=complete, args=(http,), kwargs={"messages": [{"role": "user", "content": TITLE}]}) for _ in range(3)]
    for one in asked:
        one.start()
    until(lambda: running)
    assert http.get("/health").json()["active"] == 0 and len(running) == 1
    person = threading.Thread(target=complete, args=(http,))
    person.start()
    until(lambda: len(running) == 2)  # the person's answer is being made beside the page's
    go.set()
    for one in [*asked, person]:
        one.join()
    assert len(running) == 3 + len(EN)


def test_of_a_conversation_beyond_the_context_the_end_is_read():
    engine = ScriptedEngine()
    engine.backend.context = len(TITLE) + 1200
    long = TITLE.replace(HISTORY, f"USER: {'x' * 5000}\nASSISTANT: the end")
    complete(client(engine), messages=[{"role": "user", "content": long}])
    assert len(engine.heard[0][1]) <= len(TITLE) + 1200 - 2 * 256 - 64 and engine.heard[0][1].endswith("the end\n</chat_history>")
