"""Data parallel training: processes with equal weights, each with its own share of the rows (Li et al. 2020).

Every loss here is a sum over the rows of a step divided by a number that all processes know, that of the whole step. So gradients are added up
and not averaged, and what comes out is what one process makes of it, up to rounding. Where there is one process, nothing here does anything.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import distributed, nn

T = TypeVar("T")


def processes() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def number() -> int:
    """Of this process, from 0."""
    return distributed.get_rank() if processes() > 1 else 0


def own(rows: Iterable[int]) -> list[int]:
    """Those of the rows that are this process's: always the same ones, so that what it keeps of a row is of use again."""
    return [row for row in rows if row % processes() == number()]


def add_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Give every process the sum of all processes' gradients; a parameter without one counts as zero."""
    if processes() == 1:
        return
    whole = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
    distributed.all_reduce(whole)
    for parameter, gradient in zip(parameters, whole.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = gradient.view_as(parameter).clone()


def added(figures: Sequence[float]) -> list[float]:
    """The sum of each figure over all processes."""
    if processes() == 1:
        return list(figures)
    whole: list[list[float]] = [[]] * processes()
    distributed.all_gather_object(whole, list(figures))
    return [sum(column) for column in zip(*whole, strict=True)]


def in_turn(rows: int, work: Callable[[list[int]], Sequence[T]]) -> list[T]:
    """`work(own rows)` in every process, and all results in the order of the rows in each of them. Results are sent: keep them on the CPU."""
    mine = own(range(rows))
    found = dict(zip(mine, work(mine), strict=True))
    if processes() > 1:
        parts: list[dict[int, T]] = [{}] * processes()
        distributed.all_gather_object(parts, found)
        found = {row: result for part in parts for row, result in part.items()}
    return [found[row] for row in range(rows)]
