"""OpenAI's and LangChain's own clients against `migaki serve`: every call of a normal chat, and the prompts that Open WebUI sends by itself.

    python benchmarks/clients.py setup CLIENT_ENV                                  # an environment of the clients alone, once
    python benchmarks/clients.py run --env CLIENT_ENV                              # against the bundled model in a home made on the spot
    python benchmarks/clients.py run --env CLIENT_ENV --url URL [--token TOKEN]    # against a server that runs

Prints a table of `clients_calls.py`'s calls with their seconds, and exits with 1 where one went wrong.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from served import home_with_model, serving, token_file

PACKAGES = ("openai<4", "langchain-openai<2")
TOKEN = "clients-0123456789abcdef"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = options.add_subparsers(dest="command", required=True)
    commands.add_parser("setup").add_argument("env", type=Path)
    run = commands.add_parser("run")
    run.add_argument("--env", type=Path, required=True)
    run.add_argument("--url")
    run.add_argument("--token", default="")
    chosen = options.parse_args()
    if chosen.command == "setup":
        subprocess.run([sys.executable, "-m", "venv", str(chosen.env)], check=True)
        subprocess.run([chosen.env / "bin" / "pip", "install", "--quiet", *PACKAGES], check=True)
        return
    with given(chosen.url, chosen.token) if chosen.url else made() as (url, token):
        sys.exit(table(chosen.env, url, token))


@contextmanager
def given(url: str, token: str) -> Iterator[tuple[str, str]]:
    yield url.rstrip("/").removesuffix("/v1"), token


@contextmanager
def made() -> Iterator[tuple[str, str]]:
    """(address, token) of a server of the bundled model, without documents."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        home, tokens = home_with_model(Path(folder) / "home"), token_file(Path(folder) / "tokens", [f"{TOKEN}::Client"])
        with serving(home, port, tokens, {}) as (url, _):
            yield url, TOKEN


def table(env: Path, url: str, token: str) -> int:
    """Prints what came of each call; returns how many went wrong, 1 at most."""
    calls = Path(__file__).with_name("clients_calls.py")
    clients = subprocess.Popen([env / "bin" / "python", str(calls), url, token], stdout=subprocess.PIPE, text=True)
    assert clients.stdout is not None
    rows = []
    for line in clients.stdout:
        rows.append(json.loads(line))
        print(f"{rows[-1]['call']:<22}{rows[-1]['seconds']:>7.1f} s  {rows[-1]['wrong'] or 'as it should be'}", flush=True)
    ended, wrong = clients.wait(), sum(bool(row["wrong"]) for row in rows)
    print(f"{len(rows) - wrong} of {len(rows)} calls as they should be, {sum(row['seconds'] for row in rows):.0f} s")
    return int(bool(ended or wrong or not rows))


if __name__ == "__main__":
    main()
