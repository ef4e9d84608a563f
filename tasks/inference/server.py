"""A server that speaks OpenAI's chat protocol (vLLM, llama.cpp, the hosted ones) behind the chatbot.

What the protocol lacks is said here: `num_beams` and `no_repeat_ngram` are not sent; `top_k`, `min_p`, `repetition_penalty` (which counts the
prompt's tokens there) and the continuing of a begun answer are extensions of vLLM, left out for servers that refuse them; likelihoods of given answers cannot be asked for, so `choose` lets the server choose.
"""

import json
import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from transformers import PreTrainedTokenizerBase

from tasks.errors import MigakiError
from tasks.inference.backend import Asker, BackendStats, Delta, Reason, Sampling, Tally, TokenLogprob, Unavailable
from tasks.prompts.template import encode_prompt
from tasks.text.messages import Message

TRIES, PAUSE = 3, 0.5  # a server that is starting or overloaded is asked again, after this many seconds and then twice as many
BUSY = {429, 500, 502, 503, 504}
POLL = 0.1  # seconds
CONTEXT = 4096  # tokens, where neither the caller nor the server says it
Stream = queue.SimpleQueue[Delta | Exception]  # what comes of an answer, or the error that it ends with
REASONS: dict[str, Reason] = {"length": "length", "content_filter": "refused"}


def estimated_tokens(messages: list[Message]) -> int:
    """Tokens of messages, rather too many: one for every 3 ASCII characters, one for any other character, 4 for what surrounds a message."""
    texts = [message["content"] for message in messages]
    ascii_only = sum(character.isascii() for text in texts for character in text)
    return ascii_only // 3 + sum(map(len, texts)) - ascii_only + 4 * len(messages)


def _logprobs(choice: dict[str, Any]) -> tuple[TokenLogprob, ...]:
    """What a server tells of the tokens of a piece."""
    told = (choice.get("logprobs") or {}).get("content") or ()
    return tuple(
        TokenLogprob(one["token"], one["logprob"], tuple((other["token"], other["logprob"]) for other in one.get("top_logprobs") or ()))
        for one in told
    )


class OpenAIServer:
    """The model called `model` of the server at `url` (with or without `/v1`).

    `silence` is the longest wait in seconds for the next byte. Without a `tokenizer`, tokens are estimated. See `connect` for a checked one.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        context: int = CONTEXT,
        silence: float = 60.0,
    ):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise MigakiError(f"the server's address {url!r} is none: expected is something like http://127.0.0.1:8000/v1")
        self.url = url.rstrip("/") + ("" if parts.path.strip("/") else "/v1")
        self.name, self.model, self.context, self.tokenizer = model, model, context, tokenizer
        self.specials = () if tokenizer is None else tuple(tokenizer.all_special_tokens)
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(silence, connect=min(5.0, silence)),
            limits=httpx.Limits(max_connections=None),
        )
        self._silence, self._tally = silence, Tally()
        self._refused: set[str] = set()  # extensions of the protocol that this server does not take

    @classmethod
    def connect(cls, url: str, model: str, key: str | None = None, **options: Any) -> "OpenAIServer":
        """A server that has been asked whether it knows the model. vLLM says the context too.

        Raises:
            MigakiError: it cannot be reached, refuses the key, or knows other models only.
        """
        server = cls(url, model, key, **options)
        known = {entry["id"]: entry for entry in server._get_models()}
        if known and model not in known:
            near = get_close_matches(model, known, 1)
            raise MigakiError(
                f"{server.url} has no model {model!r}{f'; did you mean {near[0]!r}' if near else ''}; it has {', '.join(sorted(known))}"
            )
        if "context" not in options:
            server.context = known.get(model, {}).get("max_model_len") or CONTEXT
        return server

    @property
    def stats(self) -> BackendStats:
        return self._tally.stats()

    @property
    def passes_over(self) -> frozenset[str]:
        """See `Backend`. What is an extension is known once the server has refused it."""
        return frozenset({"num_beams", "no_repeat_ngram", *(self._refused & {field.name for field in fields(Sampling)})})

    def during(self, asker: Asker) -> "OpenAIServer":
        """See `Backend`. What the server remembers is its own affair, and every request to it has a time limit."""
        return self

    def count_tokens(self, messages: list[Message]) -> int:
        return len(encode_prompt(self.tokenizer, messages)) if self.tokenizer else estimated_tokens(messages)

    def stream(self, messages: list[Message], sampling: Sampling, stop: threading.Event) -> Generator[Delta, None, None]:
        """See `Backend`. Read in a thread of its own, so that a silent server cannot keep anybody from stopping.

        Raises:
            MigakiError: the server cannot be reached, refuses, or breaks off.
        """
        body = {
            "messages": messages,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stream": True,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
        plain = Sampling(top_k=0)
        own = {name: getattr(sampling, name) for name in ("top_k", "min_p", "repetition_penalty")}
        extensions = {"stream_options": {"include_usage": True}} | {k: value for k, value in own.items() if value != getattr(plain, k)}
        out: Stream = queue.SimpleQueue()
        left = threading.Event()
        threading.Thread(target=self._read, args=(body, extensions, out, left), name="reading", daemon=True).start()
        try:
            while not stop.is_set():
                try:
                    delta = out.get(timeout=POLL)
                except queue.Empty:
                    continue
                if isinstance(delta, Exception):
                    raise delta
                yield delta
                if delta.reason:
                    return
            yield Delta("", 0, "stopped")
        finally:
            left.set()

    def choose(self, messages: list[Message], options: list[str]) -> list[float]:
        """0 for the option that the server chooses under a schema that allows no other text, minus infinity for the others."""
        text = self.complete_json(messages, {"type": "string", "enum": options}, "", 8 + max(len(option) for option in options))
        chosen = json.loads(text)
        if chosen not in options:
            raise MigakiError(
                f"{self.url} answered {chosen!r} where only {', '.join(options)} were allowed: it does not enforce JSON schemas"
            )
        return [0.0 if option == chosen else float("-inf") for option in options]

    def complete_json(self, messages: list[Message], schema: dict[str, Any], prefix: str, max_new_tokens: int) -> str:
        """See `Backend`. Asks for OpenAI's `json_schema` format, of servers that refuse it for vLLM's `guided_json`.

        Raises:
            MigakiError: as `stream`; what came is no JSON (the server ignores schemas, or `max_new_tokens` were too few).
        """
        body = {"max_tokens": max_new_tokens, "temperature": 0.0, "messages": messages}
        formats = {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}}
        extensions: dict[str, Any] = {}
        if prefix:
            body["messages"] = [*messages, {"role": "assistant", "content": prefix}]
            extensions = {"continue_final_message": True, "add_generation_prompt": False}
        if "response_format" in self._refused:
            formats = {"guided_json": schema}
        with self._counted(), self._asked(body | formats, extensions, threading.Event()) as response:
            if response is None:
                self._refused.add("response_format")
                return self.complete_json(messages, schema, prefix, max_new_tokens)
            choice = self._parsed(response.read())["choices"][0]
        text = (choice["message"].get("content") or "").strip()
        try:
            json.loads(text)
        except ValueError as error:
            cut = (
                "it was cut off: allow more tokens"
                if choice.get("finish_reason") == "length" and text.startswith(("{", "[", '"'))
                else "the server does not enforce JSON schemas"
            )
            raise MigakiError(f"{self.url} answered {text[:80]!r}, which is no JSON; {cut}") from error
        return text

    def close(self) -> None:
        self._http.close()

    def _get_models(self) -> list[dict[str, Any]]:
        """What the server lists; nothing where it has no list, or one that fails: answers may come all the same."""
        for last in self._attempts(threading.Event()):
            try:
                response = self._http.get(f"{self.url}/models")
            except httpx.HTTPError as error:
                if last:
                    raise self._unreachable(error) from error
                continue
            if response.status_code == 404 or (response.status_code == 500 and last):
                return []
            if response.status_code not in BUSY or last:
                self._check(response)
                return self._parsed(response.content).get("data", [])
        return []

    def _read(self, body: dict[str, Any], extensions: dict[str, Any], out: Stream, left: threading.Event) -> None:
        """Put the deltas of an answer into `out`, or the error it ended with. Its end is told when all is counted and closed."""
        end: Delta | Exception = self._broken(None)
        try:
            with self._counted(), self._asked(body, extensions, left) as response:
                for delta in self._deltas(cast(httpx.Response, response)):  # None is for bodies with a `response_format` alone
                    self._tally.add(tokens=delta.tokens)
                    if delta.reason:
                        end = delta
                    else:
                        out.put(delta)
                    if left.is_set():
                        return
        except httpx.HTTPError as error:
            end = self._broken(error)
        except Exception as error:
            end = error
        out.put(end)

    def _deltas(self, response: httpx.Response) -> Iterator[Delta]:
        """A token is counted for each piece of text, until the server says how many there were."""
        reason, tokens, used = None, 0, None
        for line in response.iter_lines():
            data = line.removeprefix("data:").strip()
            if not line.startswith("data:") or not data:
                continue
            if data == "[DONE]":
                break
            event = self._parsed(data)
            if "error" in event:
                raise Unavailable(f"{self.url} broke off: {str(event['error'])[:200]}")
            used = (event.get("usage") or {}).get("completion_tokens", used)
            for choice in event.get("choices", []):
                if text := choice.get("delta", {}).get("content"):
                    tokens += 1
                    yield Delta(text, 1, None, _logprobs(choice))
                if choice.get("finish_reason"):
                    reason = REASONS.get(choice["finish_reason"], "stop")
        if reason is None:
            raise self._broken(None)
        yield Delta("", max(0, (used or tokens) - tokens), reason)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._tally.add(requests=1, running=1)
        try:
            yield
        except Exception:
            self._tally.add(failed=1)
            raise
        finally:
            self._tally.add(running=-1)

    @contextmanager
    def _asked(self, body: dict[str, Any], extensions: dict[str, Any], left: threading.Event) -> Iterator[httpx.Response | None]:
        """The response to a question, open for reading. Asked again where that can help, as nothing has been read yet.

        None where the server refuses the body even without the extensions and the body asks for `response_format`.
        """
        sent = {name: value for name, value in extensions.items() if name not in self._refused}
        response = self._send({"model": self.model} | body | sent, left)
        try:
            if response.status_code in (400, 422):
                response.read()
                if sent:
                    self._refused |= set(sent)
                    with self._asked(body, {}, left) as again:
                        yield again
                    return
                if "response_format" in body:
                    yield None
                    return
            self._check(response)
            yield response
        finally:
            response.close()

    def _send(self, body: dict[str, Any], left: threading.Event) -> httpx.Response:
        for last in self._attempts(left):
            try:
                response = self._http.send(self._http.build_request("POST", f"{self.url}/chat/completions", json=body), stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if last:
                    raise self._unreachable(error) from error
            except httpx.HTTPError as error:
                raise self._broken(error) from error
            else:
                if response.status_code not in BUSY or last:
                    return response
                response.close()
        raise MigakiError("nobody waits for this answer any more")

    @staticmethod
    def _attempts(left: threading.Event) -> Iterator[bool]:
        """Whether an attempt is the last one, with pauses between them; no more once nobody waits."""
        for number in range(TRIES):
            if number and left.wait(PAUSE * 2 ** (number - 1)):
                return
            yield number == TRIES - 1

    def _check(self, response: httpx.Response) -> None:
        code = response.status_code
        if code < 400:
            return
        said = response.read().decode("utf-8", "replace")[:200]
        if code in (401, 403):
            raise Unavailable(f"{self.url} refuses the key ({code}): give the one that this server expects")
        if code == 404:
            raise Unavailable(
                f"{self.url} knows no chat completions or no model {self.model!r} (404: {said}): check the address and the model's name"
            )
        if code in BUSY:
            raise Unavailable(f"{self.url} failed {TRIES} times ({code}: {said}): look at that server's log, or ask again later")
        raise MigakiError(f"{self.url} refuses the request ({code}: {said})")

    def _parsed(self, data: str | bytes) -> dict[str, Any]:
        try:
            return json.loads(data)
        except ValueError as error:
            raise Unavailable(f"{self.url} does not speak OpenAI's protocol: it sent {data[:80]!r}") from error

    def _unreachable(self, error: Exception) -> Unavailable:
        return Unavailable(f"no server answers at {self.url} ({error}): start it, or give the address of one that runs")

    def _broken(self, error: Exception | None) -> Unavailable:
        if isinstance(error, httpx.TimeoutException):
            return Unavailable(f"{self.url} said nothing for {self._silence:g} seconds: it is overloaded or hangs; ask again later")
        return Unavailable(f"{self.url} broke off in the middle of an answer ({error or 'no end was sent'}): ask again")
