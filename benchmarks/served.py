"""`migaki serve` with the bundled model, in a process and a home of its own, for the benchmarks that disturb it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import httpx
from common import bundled_model

from flows.commands.serve import LOOK
from flows.running.releases import keep_release, promote_to, release_of
from storage.artifacts import ArtifactStore
from storage.home import Home
from storage.registry import register
from tasks.chatbot.release import Sections

ROOT = Path(__file__).resolve().parent.parent


def home_with_model(path: Path) -> Path:
    """A home whose champion is the bundled model as it is."""
    home, store = Home(path), ArtifactStore(Home(path))
    with store.draft("model", "bundled0") as folder:
        shutil.copytree(bundled_model(), folder / "model")
        manifest = {"stage": "quantize", "run_id": "r", "settings": {}, "inputs": {}, "model": None, "seconds": 0.0}
        meta = {"meta": {"model": "model", "precision": "fp32"}, "created": datetime.now().isoformat()}
        register(home, store.commit(folder, manifest | meta))
    release = release_of(home, Sections.of({}), store.get("bundled0"), classifier="")
    promote_to(home, keep_release(home, release).id)
    return path


def token_file(path: Path, tokens: list[str]) -> Path:
    path.write_text("\n".join(tokens), encoding="utf-8")
    path.chmod(0o600)
    return path


@contextmanager
def serving(home: Path, port: int, tokens: Path, settings: dict[str, object]) -> Iterator[tuple[str, subprocess.Popen]]:
    """(address, process) of a server that answers; ended when the body is left, if it still runs.

    Exits where it ends before it answers.
    """
    command = [sys.executable, "-m", "flows.commands.main", "serve", "--port", str(port), "--token-file", str(tokens)]
    command += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    environment = os.environ | {"MIGAKI_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield wait_for(f"http://127.0.0.1:{port}", server), server
    finally:
        server.terminate()
        server.communicate()


def wait_for(url: str, server: subprocess.Popen) -> str:
    while server.poll() is None:
        with suppress(httpx.TransportError):
            httpx.get(f"{url}/health", timeout=5).raise_for_status()
            return url
        time.sleep(LOOK / 4)
    sys.exit(f"the server ended with {server.returncode}:\n{server.stderr.read()[-2000:] if server.stderr else ''}")
