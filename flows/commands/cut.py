"""What of the answers `tune` would cut, by file: told after `prepare`, for the model that a run would take, where that is here already."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from flows.running.parameters import RunParams
from storage.home import Home
from tasks.data.records import Instruction, load_instructions
from tasks.errors import MigakiError
from tasks.models.families import stated_context_length
from tasks.models.opening import ChatChoice, open_tokenizer
from tasks.models.reference import resolve, resolved
from tasks.training.examples import Limit, encode_instructions
from tasks.training.settings import TuneSettings

COLUMN = "tokens cut"
MOST_ROWS = 2000  # of a file that are encoded: the share is told, not summed


def cut_shares(home: Home, params: RunParams, folder: Path, files: list[dict[str, Any]], today: str) -> list[str]:
    """A cell for each file of instructions: the share of its answer tokens that the settings of `tune` and the model's context cut off.

    Empty where the model would have to be fetched first, or refuses.
    """
    settings = params.stages["tune"]
    if not isinstance(settings, TuneSettings) or not resolved(params.run.model, home):
        return []
    by_file: dict[str, list[Instruction]] = defaultdict(list)
    for row in load_instructions(folder, "train"):
        by_file[Path(row.source).name].append(row)
    try:
        model = resolve(params.run.model, home)
        tokenizer = open_tokenizer(model.path, None, _no_adapter, today, ChatChoice(settings.template, settings.thinking))
        context = stated_context_length(model.path) or 1 << 20
        limit = Limit(context if settings.max_tokens == "auto" else min(settings.max_tokens, context), settings.cuts)
        shares = {
            name: encode_instructions(tokenizer, rows[:MOST_ROWS], limit, settings.learn, strict=False).cut_share
            for name, rows in by_file.items()
        }
    except MigakiError:
        return []  # `migaki models --check` and `tune` say why
    return [f"{shares[file['name']]:.1%}" if file["kind"] == "instructions" and file["name"] in shares else "" for file in files]


def _no_adapter(artifact: str) -> Any:
    raise MigakiError(f"{artifact} is no adapter of the base model")
