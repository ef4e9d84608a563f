"""What strangers may send to the chat's server while others use it: each is refused by its field or ended by its limit, and the others wait for no more
than two seconds.

    python benchmarks/hostile.py [--only WORDS] [--times 3]
    migaki serve --token-file FILE --set serve.answer_seconds=15
    python benchmarks/hostile.py --url http://127.0.0.1:8400 --tokens FILE --answer-seconds 15

The first serves the bundled model from a home made on the spot. Every request of `hostile_requests.py` is sent three times at once, by a user each;
then come 400 connections that never end their headers, bodies that never come, wrong tokens under ever new `X-Forwarded-For`, and 100 streams of one
token. Beside them, in a process of its own, `/health` is asked every 100 ms, and one user lets an answer stream, then another. Prints a table with the longest
wait of each (of the stream: between two pieces of an answer), and exits with 1 where a request was answered otherwise, or others waited longer.
"""

import argparse
import json
import multiprocessing
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
from hostile_requests import V1, Hostile, requests
from served import home_with_model, serving, token_file

from tasks.chatbot.web.answering import GRACE

MOST_WAIT = 2.0  # seconds, of the others
ENDED = (200, 408, 429, 503, 504)  # answered, or ended by a limit
SPARE = 5.0  # seconds beyond a limit until its end has arrived


@dataclass(frozen=True)
class Answer:
    status: int  # 0 where the connection ended without one
    field: str
    seconds: float


@dataclass(frozen=True)
class Row:
    """What came of one kind: `wrong` is empty where it came as it should."""

    name: str
    start: float  # time.monotonic()
    end: float
    statuses: str
    field: str
    wrong: str


def watch(url: str, token: str, over: Any, out: Connection) -> None:
    """Sends the waits of `/health` and of a stream's pieces as (from, to) when it is over, in the clock of time.monotonic()."""
    health: list[tuple[float, float]] = []
    pieces: list[tuple[float, float]] = []
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=120) as client:
        thread = threading.Thread(target=_stream, args=(client, over, pieces))
        thread.start()
        while not over.is_set():
            start = time.monotonic()
            with suppress(httpx.TransportError):  # the wait until it broke off counts
                client.get("/health").raise_for_status()
            health.append((start, time.monotonic()))
            over.wait(max(0.0, 0.1 - (time.monotonic() - start)))
        thread.join()
    out.send((health, pieces))


def _stream(client: httpx.Client, over: Any, pieces: list[tuple[float, float]]) -> None:
    number = 0
    while not over.is_set():
        number += 1
        question = f"Tell me a long story about the sea and {number} ships."
        body = {"model": "migaki", "stream": True, "max_tokens": 512, "messages": [{"role": "user", "content": question}]}
        last = 0.0
        with suppress(httpx.TransportError), client.stream("POST", V1, json=body) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if '"content": "' in line and '"content": ""' not in line:
                    pieces += [(last, time.monotonic())] if last else []
                    last = time.monotonic()
                if over.is_set():
                    break


@contextmanager
def watching(url: str, token: str) -> Iterator[Callable[[], tuple[list, list]]]:
    """What is yielded ends the watching and gives the waits of both."""
    context = multiprocessing.get_context("spawn")
    over, (here, there) = context.Event(), context.Pipe()
    process = context.Process(target=watch, args=(url, token, over, there))
    process.start()

    def waits() -> tuple[list, list]:
        over.set()
        there.close()
        return here.recv()

    try:
        yield waits
    finally:
        over.set()
        process.join()


def longest(waits: list[tuple[float, float]], start: float, end: float) -> float:
    return max((after - before for before, after in waits if after > start and before < end), default=0.0)


def sent(url: str, token: str, asked: Hostile, seconds: float) -> Answer:
    start = time.monotonic()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with (
        suppress(httpx.TransportError),
        httpx.stream("POST", url + asked.path, headers=headers, content=asked.body, timeout=seconds) as response,
    ):
        text = response.read().decode()
        if response.status_code == 200:
            return Answer(200, "", time.monotonic() - start)
        error = json.loads(text).get("error", {}) if text.startswith("{") else {}
        return Answer(response.status_code, error.get("param") or error.get("message", "")[:50], time.monotonic() - start)
    return Answer(0, "", time.monotonic() - start)


def judged(asked: Hostile, answers: list[Answer], limit: float) -> str:
    right = (400, 413, 422) if asked.refused else (400, 413, 422, *ENDED)
    for answer in answers:
        if answer.status not in right:
            return f"{answer.status}, expected is {' or '.join(map(str, right))}"
        if answer.status in (400, 413, 422) and not answer.field:
            return "names no field"
        if answer.seconds > limit:
            return f"ended after {answer.seconds:.0f} s, its limit is {limit:g} s"
    return ""


def one_kind(url: str, tokens: Iterator[str], asked: Hostile, times: int, limit: float) -> Row:
    start, token = time.monotonic(), next(tokens)
    with ThreadPoolExecutor(times) as pool:
        answers = list(pool.map(lambda _: sent(url, token, asked, 2 * limit), range(times)))
    statuses = counted([answer.status for answer in answers])
    return Row(asked.name, start, time.monotonic(), statuses, answers[0].field, judged(asked, answers, limit))


def counted(statuses: list[int]) -> str:
    return " ".join(f"{status}x{count}" for status, count in Counter(statuses).items())


def half_open(url: str, begun: bytes, count: int, limit: float, name: str) -> Row:
    """Connections that send `begun` and no more must be closed by the server."""
    start, found = time.monotonic(), []
    host, port = httpx.URL(url).host, httpx.URL(url).port or 80
    connections = [socket.create_connection((host, port), timeout=30) for _ in range(count)]
    for connection in connections:
        connection.sendall(begun)
    for connection in connections:
        connection.settimeout(max(0.1, start + limit - time.monotonic()))
        try:
            found.append(int((connection.recv(100).split() or [b"", b"0"])[1]))
        except TimeoutError:
            found.append(-1)
        except ConnectionError:
            found.append(0)
        connection.close()
    wrong = f"{found.count(-1)} stay open after {limit:g} s" if -1 in found else ""
    return Row(name, start, time.monotonic(), counted(found), "", wrong)


def wrong_tokens(url: str) -> Row:
    """Whoever guesses tokens is stopped, whatever address they say is theirs."""
    start, found = time.monotonic(), []
    with httpx.Client(base_url=url, timeout=30) as client:
        for number in range(200):
            headers = {"Authorization": f"Bearer wrong-token-{number:06d}", "X-Forwarded-For": f"10.0.{number // 100}.{number % 100}"}
            found.append(client.get("/v1/models", headers=headers).status_code)
    wrong = "" if set(found) == {401, 429} and found.count(401) < 120 else "guessing is not slowed"
    return Row("200 wrong tokens, X-Forwarded-For", start, time.monotonic(), counted(found), "", wrong)


def many_streams(url: str, token: str, limit: float) -> Row:
    body = json.dumps({"model": "migaki", "stream": True, "messages": [{"role": "user", "content": "Tell me about ships."}]}).encode()
    asked, start = Hostile("100 streams of one token", V1, body, False), time.monotonic()
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: sent(url, token, asked, 10 * limit), range(100)))
    wrong = judged(asked, answers, 5 * limit) or ("" if any(answer.status == 429 for answer in answers) else "all were taken")
    return Row(asked.name, start, time.monotonic(), counted([answer.status for answer in answers]), "", wrong)


def all_kinds(url: str, tokens: Iterator[str], given: argparse.Namespace) -> Iterator[Row]:
    limit, headers = given.answer_seconds + GRACE + SPARE, given.header_seconds + SPARE
    for asked in requests():
        if given.only in asked.name:
            yield one_kind(url, tokens, asked, given.times, limit)
    if given.only in "connections":
        line = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        yield half_open(url, line, 400, headers, "400 half-open connections")
        yield half_open(url, b"", 100, headers, "100 silent connections")
        auth = f"Authorization: Bearer {next(tokens)}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode()
        yield half_open(url, f"POST {V1} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode() + auth, 30, headers, "30 bodies that never come")
    if given.only in "streams":
        yield many_streams(url, next(tokens), limit)
    if given.only in "wrong tokens":
        yield wrong_tokens(url)


def endless(tokens: list[str]) -> Iterator[str]:
    while True:
        yield from tokens


@contextmanager
def served(given: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """(address, tokens) of `migaki serve` with the bundled model, in a process of its own and a home that is gone afterwards."""
    tokens = [f"hostile-token-{number:06d}" for number in range(40)]
    with tempfile.TemporaryDirectory() as folder:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        home, file = home_with_model(Path(folder) / "home"), token_file(Path(folder) / "tokens", tokens)
        limits = {"serve.answer_seconds": given.answer_seconds, "serve.header_seconds": given.header_seconds}
        with serving(home, port, file, limits) as (url, _):
            yield url, tokens


def measure(url: str, tokens: list[str], given: argparse.Namespace) -> bool:
    """Print the table; whether everything is as it should be."""
    with watching(url, tokens[0]) as waits:
        start = time.monotonic()
        time.sleep(given.quiet_seconds)
        rows = [Row("(nothing beside)", start, time.monotonic(), "", "", "")]
        for row in all_kinds(url, endless(tokens[1:]), given):
            print(f"{row.end - row.start:6.1f} s  {row.name}  {row.statuses}  {row.field}  {row.wrong}", file=sys.stderr, flush=True)
            rows.append(row)
        health, pieces = waits()
    print(
        "| request | status | field | seconds | longest wait of /health | of a running stream | |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    right = True
    for row in rows:
        waited = longest(health, row.start, row.end), longest(pieces, row.start, row.end)
        wrong = row.wrong or ("others waited" if max(waited) > MOST_WAIT else "")
        right = right and not wrong
        print(f"| {row.name} | {row.statuses} | {row.field} | {row.end - row.start:.1f} | {waited[0]:.2f} | {waited[1]:.2f} | {wrong} |")
    print(f"longest wait: {max(b - a for a, b in health):.2f} s of /health, {max(b - a for a, b in pieces):.2f} s of a running stream")
    return right


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", help="of a running `migaki serve`; one of its own without it")
    arguments.add_argument("--tokens", type=Path, help="that server's token file: the first watches, the others ask in turn")
    arguments.add_argument("--answer-seconds", type=float, default=15.0, help="serve.answer_seconds of that server")
    arguments.add_argument("--header-seconds", type=float, default=10.0, help="serve.header_seconds (and body_seconds) of that server")
    arguments.add_argument("--quiet-seconds", type=float, default=10.0, help="time in which nothing is sent, to compare with")
    arguments.add_argument("--times", type=int, default=3, help="each request is sent so many times at once")
    arguments.add_argument("--only", default="", help="requests whose name holds this")
    given = arguments.parse_args()
    if given.url:
        lines = given.tokens.read_text(encoding="utf-8").splitlines() if given.tokens else []
        tokens = [line.partition(":")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
        sys.exit(0 if len(tokens) > 1 and measure(given.url, tokens, given) else 1)
    with served(given) as (url, own):
        right = measure(url, own, given)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
