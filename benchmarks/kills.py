"""Whether `migaki serve` loses what it has acknowledged when it is killed.

    python benchmarks/kills.py [--kills 20] [--seconds 4] [--users 8]

The bundled model is served from a home made on the spot. Users, each with a token, ask through the page's API in English and Japanese and rate and
correct every other answer, until `kill -9` ends the server; then it is started again. At the end the catalog is read: every answer whose end was told
and every rating whose request was answered must be there once, as it was told. Exits with 1 where one is not.
"""

import argparse
import json
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from served import home_with_model, serving, token_file

from storage.catalog import Catalog
from storage.home import Home

QUESTIONS = ("Name a colour.", "好きな色は何ですか。", "Say a short word.", "短い言葉を一つ言ってください。")


@dataclass
class Told:
    """What one user was told before the server was killed."""

    answers: dict[str, str] = field(default_factory=dict)  # text by turn
    ratings: dict[str, tuple[int, str | None]] = field(default_factory=dict)


def chat(url: str, token: str, told: Told) -> None:
    """Ask and rate until the server is gone."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client, suppress(httpx.TransportError):
        for number in range(10_000):
            turn = ask(client, QUESTIONS[number % len(QUESTIONS)])
            if turn is None:
                continue
            told.answers[turn["turn_id"]] = turn["answer"]
            if number % 2 == 0:
                rating = (1, "Better so. このほうがよい。") if number % 4 else (-1, None)
                client.post("/api/rate", json={"turn": turn["turn_id"], "rating": rating[0], "correction": rating[1]}).raise_for_status()
                told.ratings[turn["turn_id"]] = rating


def ask(client: httpx.Client, question: str) -> dict | None:
    """The turn, once the stream has told its end."""
    name = ""
    with client.stream("POST", "/api/chat", json={"question": question}) as response:
        for line in response.iter_lines():
            if line.startswith("event:"):
                name = line.removeprefix("event:").strip()
            elif line.startswith("data:") and name == "ended":
                return json.loads(line.removeprefix("data:"))["turn"]
    return None


def one_kill(home: Path, port: int, file: Path, tokens: list[str], seconds: float, told: Told) -> None:
    settings = {"serve.requests_per_minute": 100_000, "serve.burst": 10_000, "chat.max_new_tokens": 8, "chat.cost_wrong": 0}
    with serving(home, port, file, settings) as (url, server):
        users = [threading.Thread(target=chat, args=(url, token, told)) for token in tokens]
        for user in users:
            user.start()
        time.sleep(seconds)
        server.kill()
        for user in users:
            user.join()


def missing(home: Path, told: Told) -> list[str]:
    """What is not in the catalog exactly once, as it was told."""
    catalog, wrong = Catalog.of(Home(home)), []
    rows = catalog.query("SELECT turn_id, content FROM messages WHERE role = 'assistant'")
    times, said = Counter(row["turn_id"] for row in rows), {row["turn_id"]: row["content"] for row in rows}
    for turn, answer in told.answers.items():
        if times[turn] != 1 or said[turn] != answer:
            wrong.append(f"the answer {turn} is there {times[turn]} times")
    wrong += [f"the answer {turn} is there {count} times" for turn, count in times.items() if count > 1 and turn not in told.answers]
    rated = catalog.query("SELECT m.turn_id, f.rating, f.correction FROM feedback f JOIN messages m USING (message_id)")
    found = Counter((row["turn_id"], row["rating"], row["correction"]) for row in rated)
    return wrong + [
        f"the rating of {turn} is there {found[turn, *rating]} times" for turn, rating in told.ratings.items() if found[turn, *rating] != 1
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--seconds", type=float, default=4.0, help="between the first question and the kill, on average")
    arguments.add_argument("--users", type=int, default=8)
    given = arguments.parse_args()
    tokens, told = [f"killed-token-{number:06d}" for number in range(given.users)], Told()
    with tempfile.TemporaryDirectory() as folder:
        home, file = home_with_model(Path(folder) / "home"), token_file(Path(folder) / "tokens", tokens)
        for number in range(given.kills):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            # Spread, so that the kills come at different moments of what is written every half second.
            one_kill(home, port, file, tokens, given.seconds * (0.5 + number / max(1, given.kills - 1)), told)
            print(f"kill {number + 1}: {len(told.answers)} answers and {len(told.ratings)} ratings acknowledged so far", flush=True)
        with serving(home, port, file, {}):
            pass  # the next start enters what the last one left
        wrong = missing(home, told)
    print("\n".join(wrong) or f"all {len(told.answers)} answers and {len(told.ratings)} ratings are there once")
    sys.exit(1 if wrong or not told.ratings else 0)


if __name__ == "__main__":
    main()
