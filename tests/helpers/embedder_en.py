"""A second tiny embedder beside the first: the same tokens, other weights."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def save_second_embedder(first: Path, path: Path) -> Path:
    """An embedder folder whose vectors are not those of the first."""
    shutil.copytree(first, path)
    file = next(path.rglob("model.safetensors"))
    torch.manual_seed(1)
    save_file({name: torch.randn_like(value) * 0.6 for name, value in load_file(file).items()}, file, {"format": "pt"})
    return path
