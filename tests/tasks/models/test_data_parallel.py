"""Data parallel training; that two processes come to what one does is shown on whole stages, in tests/tasks/stages/test_distributed.py."""

import torch

from tasks.models import data_parallel
from tasks.models.data_parallel import all_reduce, all_reduce_gradients, gather, shard


def test_one_process_has_all_rows_and_sends_nothing():
    parameter = torch.nn.Parameter(torch.ones(2))
    all_reduce_gradients([parameter])
    assert parameter.grad is None and shard([3, 1, 2]) == [3, 1, 2] and all_reduce([1.5, 2]) == [1.5, 2]
    assert gather(3, lambda rows: [row * 10 for row in rows]) == [0, 10, 20]


def test_every_row_is_in_one_shard(monkeypatch):
    monkeypatch.setattr(data_parallel, "world_size", lambda: 3)
    shards = []
    for rank in range(3):
        monkeypatch.setattr(data_parallel, "rank", lambda rank=rank: rank)
        shards.append(shard([5, 1, 6, 2, 3]))
    assert shards == [[6, 3], [1], [5, 2]]
