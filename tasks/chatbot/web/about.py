"""What is served."""

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """A model and an index, as the page's corner and `/v1/models` say it."""

    model: str
    version: str = ""  # of the model's artifact
    precision: str = ""
    index: str = ""  # version of the index, empty without one
    documents: int = 0
    created: int = 0  # Unix time
