"""What a stage that was killed goes on from: tensors, plain values, and the figures recorded so far."""

from typing import Any

import torch

from tasks.stages.work import Work


def keep_state(work: Work, state: Any) -> None:
    """Keep what a run of this very stage needs to go on. The next call replaces it; it goes when the artifact is there."""
    if work.keeps:
        with work.kept.replacing() as path:
            torch.save({"state": state, "figures": work.figures()}, path)


def kept_state(work: Work) -> Any | None:
    """The state that a killed run of this very stage left, its figures taken over; None when there is none, or it cannot be read."""
    if not work.kept.path.exists():
        return None
    try:
        kept = torch.load(work.kept.path, map_location=work.device, weights_only=True)
    except Exception as error:  # whatever a damaged file makes of the unpickler
        work.log(f"the checkpoint {work.kept.path.name[:12]} cannot be read ({type(error).__name__}): the stage starts anew")
        return None
    work.take_figures(kept["figures"])
    return kept["state"]
