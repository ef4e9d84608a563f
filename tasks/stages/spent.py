"""What a stage cost: how long it held its device, and the most memory that it took."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.stages.work import Work

SELF = Path("/proc/self")  # of Linux: proc(5)
DEVICE_SECONDS, PEAK_BYTES = "device_seconds", "peak_bytes"  # metrics, behind the name of the stage


@contextmanager
def spent(work: Work) -> Iterator[None]:
    """Record what the block costs as figures of the stage.

    `STAGE.device_seconds` are seconds on the GPU's clock, or on the CPU the processor seconds of this process and of those that it started and that ended;
    `STAGE.peak_bytes` is the most that the stage held of the GPU's memory, or on the CPU of the machine's, what was there before included (only where the
    system tells: Linux).
    """
    on_gpu = work.device.startswith("cuda")
    clock = time.perf_counter if on_gpu else _processor_seconds
    _forget_peak(on_gpu)
    begun = clock()
    yield
    work.metric(f"{work.spec.name}.{DEVICE_SECONDS}", clock() - begun)
    if (peak := _peak(on_gpu)) is not None:
        work.metric(f"{work.spec.name}.{PEAK_BYTES}", peak)


def _processor_seconds() -> float:
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system


def _forget_peak(on_gpu: bool) -> None:
    if on_gpu:
        import torch  # what only describes a run does without

        return torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        (SELF / "clear_refs").write_text("5", encoding="ascii")  # VmHWM begins anew


def _peak(on_gpu: bool) -> int | None:
    if on_gpu:
        import torch

        return int(torch.cuda.max_memory_allocated())
    with suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", (SELF / "status").read_text(encoding="ascii", errors="replace")):
            return int(found[1]) * 1024
    return None
