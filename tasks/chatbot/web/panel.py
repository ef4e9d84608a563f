"""The page's panel: how answers are generated, where whoever serves lets those who ask choose (`serve.generation_panel`)."""

from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from tasks.chatbot.events import Turn
from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.service import Service
from tasks.inference.backend import Sampling

SHORTEST = 16  # tokens that the panel offers at least; as many are a step
SETTINGS = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_new_tokens"}  # of `chat`, by what the panel calls them


class Chosen(BaseModel):
    """What somebody chose; what they did not is as the release has it."""

    model_config = ConfigDict(extra="forbid")
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)


def ranges(service: Service) -> dict[str, dict[str, float]] | None:
    """What may be chosen and what holds where nothing is; None where nothing may. Beams know neither temperature nor top-p."""
    if not service.settings.generation_panel:
        return None
    own = service.engine.sampling()
    most = max(service.settings.max_answer_tokens, own.max_new_tokens)
    offered: dict[str, dict[str, float]] = {
        "max_tokens": {"least": min(SHORTEST, most), "most": most, "step": SHORTEST, "own": own.max_new_tokens}
    }
    if own.num_beams > 1:
        return offered
    drawn: dict[str, dict[str, float]] = {
        "temperature": {"least": 0, "most": 2, "step": 0.05, "own": own.temperature},
        "top_p": {"least": 0.05, "most": 1, "step": 0.05, "own": own.top_p},
    }
    return drawn | offered


def sampling(service: Service, chosen: Chosen) -> Sampling | None:
    """How an answer is generated; None where nothing was chosen.

    Raises:
        ApiError: 403, nothing may be chosen here; 422, what was chosen is beyond the server's range.
    """
    given = chosen.model_dump(exclude_none=True)
    if not given:
        return None
    offered = ranges(service)
    if offered is None:
        raise ApiError(403, "generation_fixed", "this server does not let its readers choose how answers are generated", "generation")
    for name in given.keys() - offered.keys():
        raise ApiError(
            422, "invalid_request", f"generation.{name}: the answers are searched with beams, which have none", f"generation.{name}"
        )
    if given.get("max_tokens", 0) > (most := offered["max_tokens"]["most"]):
        message = f"generation.max_tokens: {given['max_tokens']:,}; at most {most:,} are accepted (serve.max_answer_tokens)"
        raise ApiError(422, "invalid_request", message, "generation.max_tokens")
    return replace(service.engine.sampling(), **{SETTINGS[name]: value for name, value in given.items()})


def told(turn: Turn, own: Sampling, used: Sampling) -> Turn:
    """The turn as it is kept: an answer that was generated otherwise than its release has it is none of the release's."""
    pairs = {name: (getattr(own, name), getattr(used, name)) for name in SETTINGS.values()}
    changed = ", ".join(f"chat.{name} = {after:g}" for name, (before, after) in pairs.items() if before != after)
    if not changed:
        return turn
    return replace(turn, release="", unreleased=f"{turn.unreleased}, {changed}" if turn.unreleased else f"unreleased: {changed}")
