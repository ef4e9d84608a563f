"""Packed word tables: blocks of 16 levels come out as they were, other tables nearly, and the rest of the model is turned and nothing else."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tasks.models import word_table
from tasks.models.word_table import BLOCK, cast, packed_table, stored_dtype


def levels(rows: int, width: int) -> torch.Tensor:
    """Values (half - 8) * scale with a float16 scale, the outermost half of each block being 0, as Q4_0 has them."""
    torch.manual_seed(0)
    halves = torch.randint(0, 16, (rows, width // BLOCK, BLOCK)).float()
    halves[..., 3] = 0
    scales = (torch.randn(rows, width // BLOCK, 1) / 30).half().float()
    return ((halves - 8) * scales).flatten(1)


@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_sixteen_levels_come_out_exactly_also_of_what_float16_rounded(stored):
    table = levels(1500, 96)
    table[7], table[8, :BLOCK] = 0, 0
    packed = packed_table(table.to(stored), torch.float32)
    assert packed.codes.dtype == torch.uint8 and packed.codes.shape == (1500, 48)
    assert torch.equal(packed(torch.arange(1500)), table)
    assert torch.equal(packed(torch.tensor([[3, 7], [1499, 0]])), table[[3, 7, 1499, 0]].view(2, 2, 96))


def test_another_table_is_off_by_less_than_a_level():
    table = torch.randn(700, 64)
    table[600:] = levels(100, 64)
    packed = packed_table(table, torch.float32)
    off = (packed(torch.arange(700)) - table).view(700, 2, BLOCK).abs().amax(2)
    assert packed.codes.dtype == torch.int8 and (off <= table.view(700, 2, BLOCK).abs().amax(2) / 127 * 0.56).all()


def test_a_small_value_beside_levels_is_not_taken_for_one():
    table = levels(10, 32)
    table[4, 9] += table[4].abs().max() / 8 * 0.3
    assert packed_table(table, torch.float32).codes.dtype == torch.int8


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places, self.top = nn.Embedding(300, 64), nn.Embedding(8, 64), nn.Linear(64, 4)


def test_the_model_is_turned_and_of_its_tables_only_the_large_one_is_packed(monkeypatch):
    monkeypatch.setattr(word_table, "LARGE", 300 * 64 * 4)
    model = Reader()
    table = levels(300, 64)
    model.words.weight.data = table.half()
    assert cast(model, torch.bfloat16)
    assert model.top.weight.dtype == model.places.weight.dtype == torch.bfloat16
    assert torch.equal(model.words(torch.arange(300)), table.bfloat16())
    monkeypatch.setattr(word_table, "LARGE", 300 * 64 * 4 + 1)
    assert not cast(Reader(), torch.float32)


def test_weights_are_float16_where_all_of_them_are(tmp_path):
    for kinds, dtype in (((torch.float16, torch.float16), torch.float16), ((torch.float16, torch.float32), torch.float32)):
        save_file({str(i): torch.ones(2, dtype=kind) for i, kind in enumerate(kinds)}, tmp_path / "model.safetensors")
        assert stored_dtype(tmp_path) == dtype
    assert stored_dtype(tmp_path / "none") == torch.float32
