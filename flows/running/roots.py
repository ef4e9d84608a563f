"""Which files a run of the platform may name.

Who may start a deployment is not thereby somebody who may read the whole machine: settings that name files, folders or code are held to the
folders that the owner of the workers allows, `MIGAKI_ROOTS` in the workers' environment (the project's folder where that says nothing). A run's
own `index.roots` narrows them for documents. Commands at a terminal are free: their user can read the files anyway.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from flows.running.feedback import COMPARED, HARVESTED
from flows.running.parameters import RunSettings
from storage.home import Home
from tasks.chatbot.safety.files import located
from tasks.data.sources import split_format
from tasks.documents.finding import find_documents, split_columns
from tasks.errors import MigakiError
from tasks.evaluation.own_metrics import load_metrics
from tasks.prompts.library.prompt import NAME
from tasks.rag.fingerprint import TABLE
from tasks.rag.settings import IndexSettings
from tasks.rlhf.rules import load_rules
from tasks.settings import StageSettings
from tasks.stages.own_code import find_module

ROOTS = "MIGAKI_ROOTS"  # folders, separated as in PATH
PROJECT = Path(__file__).resolve().parents[2]
FETCHED = ("wheel:", "hub:", TABLE)  # what is no file here
CHOSEN = ("embedder_en", "auto")  # nor is this
NAMED, BARE = ("templates", "suite"), re.compile(NAME)  # nor a bare name of the prompt library, or of a benchmark
CODE: dict[str, Callable[[list[str]], object]] = {"rule_rewards": load_rules, "metrics": load_metrics}  # fields that name functions
PATTERN = set("*?[")


def hold(run: RunSettings, sections: Mapping[str, StageSettings]) -> None:
    """Nothing, where all that the settings name lies below the roots, or where nobody holds them to any, and functions that they name are there.

    Raises:
        MigakiError: something does not, through links and `..` too, lies in MIGAKI_HOME, or is hidden there; names the setting and the value.
            A function is missing, or its module cannot be imported.
    """
    hold_to(allowed() if on_platform(run) else [], {"run": run, **sections})
    for settings in sections.values():
        for field in CODE.keys() & type(settings).model_fields.keys():
            CODE[field](getattr(settings, field))


def hold_to(given: list[Path], sections: Mapping[str, StageSettings]) -> None:
    """Nothing, where all that the settings name lies below the roots. Needs no Prefect: what starts runs of a platform asks here first.

    Args:
        given: what the platform allows; nothing where there is none.

    Raises:
        MigakiError: as `hold` of files and folders.
    """
    index = sections.get("index")
    narrowed = narrower(index.roots, given) if isinstance(index, IndexSettings) else []
    for section, settings in sections.items():
        for field, value in named(settings):
            roots = (narrowed if field == "documents" else []) or given
            fed = section == "prepare" and field in ("instructions", "preferences")
            links = field == "documents" and getattr(settings, "follow_links", False)
            if (
                roots
                and not bundled(section, settings, field, value)
                and not all(lies_below(path, roots, fed) for path in places(field, value, links))
            ):
                raise MigakiError(
                    f"{section}.{field} = {value!r} lies outside of {', '.join(map(str, roots))}, or is hidden there: a run reads nothing else. "
                    f"The owner of a platform's workers may allow more folders ({ROOTS} in their environment)"
                )


def on_platform(run: RunSettings) -> bool:
    """Whether somebody started this run from afar: its parameters may say `run.where=local`, and it is a deployment's all the same."""
    from prefect.context import FlowRunContext  # in a flow it is loaded already, and the platform's own process does without

    context = FlowRunContext.get()
    flow_run = context.flow_run if context else None
    return run.where == "prefect" or bool(flow_run and flow_run.deployment_id)


def allowed(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The folders that the owner of a worker with this environment (default: this process's) allows."""
    named = [part for part in environment.get(ROOTS, "").split(os.pathsep) if part]
    return [Path(part).expanduser().resolve() for part in named] or [PROJECT]


def placed(document: str, folder: Path) -> str:
    """A document that somebody named who looks from a folder, as a run finds it that looks from another; a table of the catalog as it is."""
    return document if document.startswith(TABLE) else str(folder / os.path.expanduser(document))


def narrower(wanted: list[str], given: list[Path]) -> list[Path]:
    """What `index.roots` says.

    Args:
        given: what the platform allows; nothing where there is none.

    Raises:
        MigakiError: it names a folder beyond them.
    """
    own = [Path(folder).expanduser().resolve() for folder in wanted]
    for folder in own:
        if given and not any(folder.is_relative_to(root) for root in given):
            raise MigakiError(
                f"index.roots names {str(folder)!r}, and this platform's workers allow {', '.join(map(str, given))} ({ROOTS} in their environment): "
                "a run can narrow that, and never widen it"
            )
    return own


def named(settings: StageSettings) -> Iterator[tuple[str, str]]:
    """(field, value) of all that names a file, a folder, or a module."""
    for field in sorted((settings.PATHS - {"roots"}) | (CODE.keys() & type(settings).model_fields.keys())):
        values = getattr(settings, field)
        yield from ((field, value) for value in ([values] if isinstance(values, str) else values) if value)


def bundled(section: str, settings: StageSettings, field: str, value: str) -> bool:
    """Whether it is a file that comes with Migaki and that `safety` learns from by default: every retraining run has it, and none chose it.

    Raises:
        MigakiError: it is gone.
    """
    if section != "safety" or value not in type(settings).model_fields[field].get_default(call_default_factory=True):
        return False
    return located(value).resolve().is_relative_to(PROJECT)


def places(field: str, value: str, links: bool) -> Iterator[Path]:
    """The paths that a value stands for: one, or all that a pattern matches.

    Args:
        links: whether what lies in a folder of documents counts too, since links there are followed out of it.
    """
    if value.startswith(FETCHED) or (field, value) == CHOSEN or (field in NAMED and BARE.fullmatch(value)):
        return
    if field in CODE:
        yield find_module(value.partition(":")[0], field)[0]
        return
    path = split_format(split_columns(value)[0], field)[1].expanduser()
    yield path
    first = next((number for number, part in enumerate(path.parts) if PATTERN & set(part)), None)
    if first is not None and not path.exists():
        yield from Path(*path.parts[:first]).glob("/".join(path.parts[first:]))
    if links:
        yield from (file.path for file in find_documents([value], follow_links=True) if not file.barred)


def lies_below(path: Path, roots: list[Path], fed: bool) -> bool:
    """Whether what a path leads to is in one of the folders, and neither hidden in it nor in this home.

    Args:
        fed: whether what people said here and `flows.running.feedback` adds may be read.
    """
    place, home = path.resolve(), Home.current().root.resolve()
    if place.is_relative_to(home):
        return fed and place in [home / "feedback" / name for name in (COMPARED, *HARVESTED.values())]
    below = [place.relative_to(root) for root in roots if place.is_relative_to(root)]
    return any(not any(part.startswith(".") for part in rest.parts) for rest in below)
