"""What is served."""

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """A model and an index, as the page's corner and `/v1/models` say it, and the release that both are served by."""

    model: str
    version: str = ""  # of the model's artifact
    precision: str = ""
    index: str = ""  # version of the index, empty without one
    documents: int = 0
    created: int = 0  # Unix time
    release: str = ""  # its id
    unreleased: str = ""  # in words, what serves where no release does
