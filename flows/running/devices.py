"""Where tensors live, asked without importing torch."""

import shutil
import subprocess

from tasks.processes import child_environment


def gpu() -> str | None:
    """The first GPU's name and memory, from its driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    found = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=20)
    return found.stdout.strip().splitlines()[0] if found.returncode == 0 and found.stdout.strip() else None


def device(wanted: str) -> str:
    """The torch device: `auto` takes a GPU when its driver is there. Asked without importing torch, which a reused stage never needs."""
    if wanted != "auto":
        return wanted
    return "cuda" if shutil.which("nvidia-smi") else "cpu"
