"""Data parallel training: processes with equal weights, each with its own shard of the rows (Li et al. 2020).

Every loss here is a sum over the rows of a step divided by a number that all processes know, that of the whole step. So gradients are summed
and not averaged, and what comes out is what one process makes of it, up to rounding. In a single process nothing is sent.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import distributed, nn

T = TypeVar("T")


def world_size() -> int:
    """Processes that train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Of this process, from 0."""
    return distributed.get_rank() if world_size() > 1 else 0


def shard(rows: Iterable[int]) -> list[int]:
    """Those of the rows that are this process's: always the same ones, so that what it caches of a row is of use again."""
    return [row for row in rows if row % world_size() == rank()]


def all_reduce_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Give every process the sum of all processes' gradients; a parameter without one counts as zero."""
    if world_size() == 1:
        return
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
    distributed.all_reduce(flat)
    for parameter, gradient in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = gradient.view_as(parameter).clone()


def all_reduce(figures: Sequence[float]) -> list[float]:
    """The sum of each figure over all processes."""
    if world_size() == 1:
        return list(figures)
    by_rank: list[list[float]] = [[]] * world_size()
    distributed.all_gather_object(by_rank, list(figures))
    return [sum(column) for column in zip(*by_rank, strict=True)]


def gather(rows: int, work: Callable[[list[int]], Sequence[T]]) -> list[T]:
    """`work` on this process's shard of `range(rows)`, and the results of all processes in the order of the rows, in each of them.

    Results are sent: keep them on the CPU.
    """
    local = shard(range(rows))
    results = dict(zip(local, work(local), strict=True))
    if world_size() > 1:
        by_rank: list[dict[int, T]] = [{}] * world_size()
        distributed.all_gather_object(by_rank, results)
        results = {row: result for part in by_rank for row, result in part.items()}
    return [results[row] for row in range(rows)]
