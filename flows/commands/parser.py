"""The command line of `migaki`: stages, then talking, then looking."""

import argparse
import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flows.catalogue.stages import FLOWS
from flows.commands.examples import ACCEPT, EXAMPLES, GENERATE_EXAMPLES, SEARCH_EXAMPLES
from flows.commands.options import (
    add_prompts,
    approval_options,
    benchmark_options,
    common_options,
    data_options,
    generate_options,
    platform_help,
    prompt_study_options,
    running_options,
    settings_help,
)

NAMES = ("names", "benchmark.names")  # arguments of which a command takes any number


class ShowVersion(argparse.Action):
    """Looks the version up only when it is asked for: other commands run without an installed package too, such as in a bare checkout."""

    def __init__(self, option_strings: list[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print("migaki", importlib.metadata.version("migaki"))
        parser.exit()


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says (default: this process's). Names may stand after options as well, where argparse wants all of them in one place."""
    root = parser()
    found, rest = root.parse_known_args(words)
    names = next((name for name in NAMES if hasattr(found, name)), None)
    if rest and (names is None or any(word.startswith("-") for word in rest)):
        root.error(f"unrecognized arguments: {' '.join(rest)}")
    if names and rest:
        setattr(found, names, [*getattr(found, names), *rest])
    return found


def parser() -> argparse.ArgumentParser:
    """The command line: stages, then talking, then looking."""
    root = argparse.ArgumentParser(
        prog="migaki",
        description="Turns an open language model and your own text into a tuned, aligned, quantized, grounded chatbot.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action=ShowVersion, help="show the version of the package that is installed")
    commands = root.add_subparsers(dest="command", metavar="command", required=True)
    common, running, data = common_options(), running_options(), data_options()

    def add(name: str, help_text: str, *options: argparse.ArgumentParser, epilog: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(
            name, parents=[common, *options], help=help_text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    whole = add("retrain", "run every stage, from data to promotion", running, data, epilog=EXAMPLES)
    whole.add_argument("--plan", action="store_true", help="say which stages would run and why, and run nothing")
    for name, spec in FLOWS.items():
        stage = add(name.replace("_", "-"), spec.help, running, *([data] if name == "prepare" else []), epilog=settings_help(name))
        if name == "index":
            stage.add_argument("--documents", nargs="+", metavar="PATH", help="index these files and folders as they are now")
            help_text = "let the index serve also where it finds the documents of the stored questions less often than the one before"
            stage.add_argument("--serve-anyway", action="store_true", help=help_text)
            stage.add_argument(
                "--verify", action="store_true", help="compare the index that serves with the catalog, and mend what differs"
            )
            help_text = (
                "tell the server of PREFECT_API_URL, or this home's platform, that documents changed, so that it makes the index of these files "
                "and folders, and of no others (default: of those that it watches, else of those in prefect.yaml), and index nothing here"
            )
            stage.add_argument("--announce", nargs="*", metavar="FILE", help=help_text)
        if name == "benchmark":
            benchmark_options(stage)
        if name == "prompt_study":
            prompt_study_options(stage)
        if name == "promote":
            instead = stage.add_mutually_exclusive_group()
            instead.add_argument("--to", metavar="ID", help="put this release in the champion's place, whatever was measured")
            instead.add_argument("--rollback", action="store_true", help="go back to the release that served before")
            approval_options(stage, instead)
    add_talking(add)
    add_looking(add, running)
    return root


def add_talking(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Commands for people who talk with the models, and for what comes of it."""
    chat = add("chat", "talk with the champion in the terminal", epilog=settings_help("chat", "tools"))
    chat.add_argument("--artifact", metavar="ID", help="talk with this model or release instead (`migaki status` lists them)")
    generate_options(add("generate", "what a model says to a prompt, in several ways of decoding side by side", epilog=GENERATE_EXAMPLES))
    server = add("serve", "serve the champion: a web page, and an API for OpenAI's clients", epilog=settings_help("serve", "chat", "tools"))
    server.add_argument("--host", help="address to listen on (default 127.0.0.1); beyond loopback a token file is needed")
    server.add_argument("--port", type=int, help="port to listen on (default 8400; 0 takes a free one)")
    server.add_argument("--token-file", type=Path, metavar="FILE", help="who may ask: token[:group,group][:name[:role]] on each line")
    server.add_argument("--artifact", metavar="ID", help="serve this model or release instead of the champion")
    server.add_argument("--open", action="store_true", help="open the page in a browser, where there is a display")
    labels = add("label", "compare answers of two models; the next run learns from it")
    labels.add_argument("--count", type=int, default=20, help="comparisons to ask for (default 20)")
    labels.add_argument("--seed", type=int, default=0, help="seed of prompts, answers and order")
    labels.add_argument("--artifact", metavar="ID", help="compare this model with the champion (default: the newest other release)")
    labels.add_argument("--prompts", type=Path, metavar="FILE", help="a prompt on each line (default: the training prompts)")
    labels.add_argument("--export", type=Path, metavar="FILE.jsonl", help="write all comparisons as preference pairs, and ask nothing")
    help_text = "make preference pairs and instructions of the ratings and corrections in chats, for the next retrain"
    gather = add("harvest", help_text, epilog=settings_help("harvest"))
    gather.add_argument("--dry-run", action="store_true", help="count and show examples, and write nothing")
    help_text = "the chatbot's figures of the last week and release against those before, drift, and questions that no document answers"
    add("monitor", help_text, epilog=settings_help("monitor"))


def add_looking(add: Callable[..., argparse.ArgumentParser], running: argparse.ArgumentParser) -> None:
    """Commands that show what there is, and the platform."""
    status = add("status", "what serves and since when, releases, models, indexes, last runs")
    status.add_argument("--rebuild", action="store_true", help="first enter every artifact on disk into the catalog")
    found = add("search", "what the index that serves finds, with scores, ranks and text", epilog=SEARCH_EXAMPLES)
    found.add_argument("query", nargs="+", metavar="QUERY", help="a question, or words of one")
    found.add_argument("-k", default="5", metavar="N", help="show so many chunks, best first (default 5, at most 1,000)")
    help_text = "search as somebody of these groups (a,b), as a line of the token file names them; without, what everybody may see"
    found.add_argument("--groups", default="", metavar="GROUPS", help=help_text)
    found.add_argument("--lang", metavar="CODE", help="search documents in this language alone, such as ja")
    old = add("prune", "remove models, indexes and data that neither the champions nor the newest runs need")
    old.add_argument("--keep-runs", type=int, default=3, metavar="N", help="keep what the newest N runs made or reused (default 3)")
    old.add_argument("--dry-run", action="store_true", help="show what would go, and remove nothing")
    doctor = add("doctor", "what this machine has, and what would not work", running)
    help_text = "the memory that this stage would take, with the settings given; for tune, whatever of the model would be refused too"
    doctor.add_argument("--for", choices=("align", "tune"), dest="stage", help=help_text)
    known = add("models", "known models with parameters, context, licence and memory; or what one is, and whether it can be tuned")
    known.add_argument("--check", metavar="REF", help="look at this model (what --model takes) and say what a run would refuse")
    known.add_argument("--parameters", metavar="N", help="the memory of the weights of a model of this size: 7e9, 7B, 350M")
    asked = add(
        "questions", "say which questions of a file have answers that can be judged, or add a rated answer of a chat to one", epilog=ACCEPT
    )
    help_text = "check: say what is wrong, a line each; the exit code is 1 where anything is. add: make an item of a rated answer"
    asked.add_argument("action", choices=("check", "add"), help=help_text)
    asked.add_argument("files", nargs="+", metavar="FILE", help="question files, as retrain --questions takes them")
    asked.add_argument("--conversation", metavar="ID", help="add: the conversation in which the answer was rated or corrected")
    asked.add_argument("--turn", type=int, metavar="N", help="add: which turn of it, from 1 (default: the one that was rated)")
    help_text = "add: a short string of which any right answer contains one; may be given several times"
    asked.add_argument("--accept", action="append", default=[], metavar="TEXT", help=help_text)
    help_text = "add: the document that answers (default: the first one shown with the answer that holds an accepted string)"
    asked.add_argument("--document", default="", metavar="NAME", help=help_text)
    help_text = "the files and folders that they are about (default: prepare.documents, where --config or --set says it)"
    asked.add_argument("--documents", nargs="+", metavar="DIR", help=help_text)
    add_prompts(add, running)
    who = add("audit", "who promoted, approved, refused, rolled back, deleted, gave out tokens or changed a platform, when and why")
    who.add_argument("--since", metavar="DATE", help="entries from this day or time on (UTC, or with a zone: 2026-11-30T09:00+09:00)")
    sql = add("sql", "ask the catalog")
    sql.add_argument("query", help='one SELECT, SHOW, DESCRIBE or EXPLAIN; `migaki sql "SHOW TABLES"` lists the tables')
    sql.add_argument("--files", nargs="+", type=Path, default=[], metavar="PATH", help="files and folders that the query may read too")
    platform = add("platform", "start the Prefect server and a worker for each pool, deployments included", epilog=platform_help())
    platform.add_argument("--port", type=int, default=4200)
    help_text = "addresses to tell what goes wrong (default: platform/notify.yaml in the home; without one nobody is told)"
    platform.add_argument("--notify", type=Path, metavar="FILE.yaml", help=help_text)
    instead = platform.add_mutually_exclusive_group()
    help_text = (
        "give the server of PREFECT_API_URL, or this home's platform, the automations that tell those addresses, have its deployments refuse unknown "
        "parameters, and start nothing"
    )
    instead.add_argument("--apply", action="store_true", help=help_text)
    help_text = "tell every address once, by way of that server, and say whether it arrived; the exit code is 1 where one did not"
    instead.add_argument("--test-notifications", action="store_true", help=help_text)
