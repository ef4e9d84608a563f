"""Runs of a platform name no file beyond the folders that its owner allows, by no way of writing it."""

import os
from types import SimpleNamespace

import pytest

import flows.running.roots
from flows.catalogue.stages import FLOWS
from flows.running.parameters import RELEASE_SETTINGS, RunSettings
from flows.running.roots import hold
from tasks.chatbot.safety.settings import SafetySettings
from tasks.chatbot.settings import ChatSettings
from tasks.chatbot.tools.settings import ToolSettings
from tasks.data.settings import PrepareSettings
from tasks.errors import MigakiError
from tasks.evaluation.settings import EvaluateSettings
from tasks.rag.settings import IndexSettings
from tasks.rlhf.settings import AlignSettings
from tasks.studies.benchmarks.settings import BenchmarkSettings
from tasks.studies.prompting.settings import PromptStudySettings
from tests import ROOT

AFAR = RunSettings(where="prefect")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project with documents and a home in it, and a home folder of somebody beside it."""
    for path, text in {
        "project/docs/a.md": "seen",
        "project/日本語/規則.md": "seen",
        "project/data.jsonl": "{}",
        "project/rules.py": "",
        "project/.migaki/platform/secret": "migaki:x",
        "project/.migaki/feedback/chats.preferences.jsonl": "{}",
        "project/.env": "TOKEN=1",
        "project/.git/config": "",
        "user/.ssh/id_rsa": "key",
        "user/private.md": "private",
        "project2/other.md": "not the same project",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "project/docs/link.md").symlink_to(tmp_path / "user/private.md")
    (tmp_path / "project/linked").symlink_to(tmp_path / "user")
    monkeypatch.setenv("MIGAKI_HOME", str(tmp_path / "project/.migaki"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("MIGAKI_ROOTS", raising=False)
    monkeypatch.setattr(flows.running.roots, "PROJECT", tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


OUTSIDE = [
    "/etc",
    "/etc/passwd",
    "/etc/*",
    "/",
    "~/.ssh",
    "~/.ssh/id_rsa",
    "../user/.ssh",
    "../project2",
    "docs/../../user/private.md",
    "docs/*/../../../user/*",
    "linked",
    "linked/private.md",
    "linked/.ssh/*",
    "*/private.md",
    "docs/link.md",
    "docs/*.md",  # one of them is the link
    "docs/link.md#text=x",
    ".migaki",
    ".migaki/platform/secret",
    ".migaki/feedback/chats.preferences.jsonl",
    ".env",
    ".git",
    ".git/*",
    "/proc/self/environ",
]
INSIDE = [
    "docs",
    "docs/a.md",
    "日本語",
    "日本語/*.md",
    "docs/**",
    "docs/../docs/a.md",
    "not-there.md",
    "data.csv#text=answer",
    "table:messages#text=body",
]


@pytest.mark.parametrize("value", OUTSIDE)
@pytest.mark.parametrize("section", ["index", "prepare"])
def test_what_lies_outside_is_refused_by_name(place, section, value):
    settings = {"index": IndexSettings, "prepare": PrepareSettings}[section](documents=["docs/a.md", value])
    with pytest.raises(MigakiError) as refusal:
        hold(AFAR, {section: settings})
    assert repr(value) in str(refusal.value) and f"{section}.documents" in str(refusal.value)


@pytest.mark.parametrize("value", INSIDE)
def test_what_lies_inside_is_let_be(place, value):
    hold(AFAR, {"index": IndexSettings(documents=[value]), "prepare": PrepareSettings(documents=[value])})


@pytest.mark.parametrize(("section", "model"), [("index", IndexSettings), ("prepare", PrepareSettings)])
def test_links_that_are_followed_out_of_a_folder_are_held_too(place, section, model):
    hold(AFAR, {section: model(documents=["docs"])})  # what links out of it is skipped
    with pytest.raises(MigakiError, match=rf"{section}\.documents = 'docs'"):
        hold(AFAR, {section: model(documents=["docs"], follow_links=True)})
    hold(AFAR, {section: model(documents=["日本語"], follow_links=True)})


SIBLINGS = [
    (PrepareSettings, "prepare", "instructions", ["messages:/etc/passwd"]),
    (PrepareSettings, "prepare", "preferences", ["pairs:../user/private.md"]),
    (PrepareSettings, "prepare", "questions", ["~/.ssh/id_rsa"]),
    (PrepareSettings, "prepare", "text", ["/proc/self/environ"]),
    (PrepareSettings, "prepare", "followups", ["/proc/self/environ"]),
    (SafetySettings, "safety", "examples", ["/etc/passwd"]),
    (SafetySettings, "safety", "harmful", ["/etc/passwd"]),
    (SafetySettings, "safety", "harmless", ["/etc/passwd"]),
    (ChatSettings, "chat", "templates", ["/etc/passwd"]),
    (PromptStudySettings, "prompt_study", "suite", "/etc/passwd"),
    (PromptStudySettings, "prompt_study", "benchmarks_dir", "/etc"),
    (PromptStudySettings, "prompt_study", "prompts", "~/.ssh"),
    (ToolSettings, "tools", "weather_table", "/etc/passwd"),
    (AlignSettings, "align", "reward_model", "/etc"),
    (AlignSettings, "align", "rule_rewards", ["os:system"]),
    (AlignSettings, "align", "rule_rewards", ["subprocess:call"]),
    (EvaluateSettings, "evaluate", "metrics", ["os:system"]),
    (EvaluateSettings, "evaluate", "benchmarks_dir", "/etc"),
    (BenchmarkSettings, "benchmark", "benchmarks_dir", "/etc"),
    (BenchmarkSettings, "benchmark", "suites", ["/etc/passwd"]),
]


@pytest.mark.parametrize(("model", "section", "field", "value"), SIBLINGS, ids=[f"{case[1]}.{case[2]}" for case in SIBLINGS])
def test_every_setting_that_names_a_file_is_held(place, model, section, field, value):
    with pytest.raises(MigakiError, match=rf"{section}\.{field} = "):
        hold(AFAR, {section: model(**{field: value})})


@pytest.mark.parametrize("field", ["model", "embedder", "embedder_en", "accelerate"])
def test_so_are_those_of_the_run(place, field):
    with pytest.raises(MigakiError, match=rf"run\.{field} = '/etc"):
        hold(AFAR.model_copy(update={field: "/etc/accelerate.yaml"}), {})


def test_what_a_run_chooses_by_itself_is_no_file(place, monkeypatch):
    monkeypatch.setenv("MIGAKI_ROOTS", str(place / "project2"))
    hold(AFAR.model_copy(update={"embedder_en": "auto"}), {})
    hold(AFAR.model_copy(update={"embedder_en": ""}), {"chat": ChatSettings(), "tools": ToolSettings()})
    hold(AFAR, {"chat": ChatSettings(templates=["brief"]), "prompt_study": PromptStudySettings(suite="svamp")})  # names, not files


def test_what_safety_learns_from_by_default_comes_with_migaki(place, monkeypatch):
    """Who allows only folders of their own has retraining runs all the same, which say nothing of it."""
    monkeypatch.setenv("MIGAKI_ROOTS", str(place / "project2"))
    with pytest.raises(MigakiError, match=r"safety\.examples = 'examples/safety\.en\.jsonl' lies outside"):  # a file of that name elsewhere
        hold(AFAR, {"safety": SafetySettings()})
    monkeypatch.setattr(flows.running.roots, "PROJECT", ROOT)
    hold(AFAR, {"safety": SafetySettings()})
    with pytest.raises(MigakiError, match=r"safety\.harmful = 'examples/safety\.en\.jsonl' lies outside"):
        hold(AFAR, {"safety": SafetySettings(harmful=["examples/safety.en.jsonl"])})


def test_no_setting_that_names_a_file_is_forgotten():
    """What is new in PATHS belongs into the cases above."""
    cases = {(section, field) for _, section, field, _ in SIBLINGS} | {("index", "documents"), ("index", "roots"), ("prepare", "documents")}
    sections = {name: spec.settings for name, spec in FLOWS.items()} | RELEASE_SETTINGS
    assert {(name, field) for name, model in sections.items() for field in model.PATHS} | {
        ("align", "rule_rewards"),
        ("evaluate", "metrics"),
    } == cases


def test_a_terminal_is_free_and_a_deployment_is_not_whatever_it_says_of_itself(place, monkeypatch):
    settings = {"index": IndexSettings(documents=["/etc"])}
    hold(RunSettings(), settings)
    for deployment, held in ((None, False), ("5c0f", True)):
        context = SimpleNamespace(get=lambda deployment=deployment: SimpleNamespace(flow_run=SimpleNamespace(deployment_id=deployment)))
        monkeypatch.setattr("prefect.context.FlowRunContext", context)
        if held:
            with pytest.raises(MigakiError, match="/etc"):
                hold(RunSettings(where="local"), settings)
        else:
            hold(RunSettings(where="local"), settings)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("rules:absent", "evaluate.metrics names rules:absent, and that module has no function 'absent'"),
        ("gone:tone", "evaluate.metrics names the module 'gone'"),
        ("rules:correct", "a figure 'chat.correct' of its own"),
    ],
)
def test_functions_that_are_not_there_are_told_at_a_terminal_too(place, value, words):
    (place / "project/rules.py").write_text("def correct(row):\n    return 1.0\n")
    with pytest.raises(MigakiError, match=words):
        hold(RunSettings(), {"evaluate": EvaluateSettings(metrics=[value])})


def test_the_owner_allows_other_folders_and_a_run_narrows_them(place, monkeypatch):
    monkeypatch.setenv("MIGAKI_ROOTS", os.pathsep.join([str(place / "project2"), str(place / "user")]))
    hold(AFAR, {"index": IndexSettings(documents=[str(place / "project2"), "~/private.md"])})
    for value in ("docs", "~/.ssh"):  # the project is no root now, and what is hidden stays so
        with pytest.raises(MigakiError, match="outside"):
            hold(AFAR, {"index": IndexSettings(documents=[value])})
    with pytest.raises(MigakiError, match="private"):
        hold(AFAR, {"index": IndexSettings(documents=["~/private.md"], roots=[str(place / "project2")])})


@pytest.mark.parametrize("root", ["/", "/etc", "..", "linked", "~"])
def test_a_run_never_widens_them(place, root):
    with pytest.raises(MigakiError, match=r"index\.roots names"):
        hold(AFAR, {"index": IndexSettings(documents=["docs/a.md"], roots=["docs", root])})


def test_a_terminal_may_narrow_too(place):
    hold(RunSettings(), {"index": IndexSettings(documents=["docs/a.md"], roots=["docs"])})
    with pytest.raises(MigakiError, match=r"index\.documents = '/etc'"):
        hold(RunSettings(), {"index": IndexSettings(documents=["/etc"], roots=["docs"])})


def test_what_people_said_here_is_training_data_and_no_document(place):
    fed = str(place / "project/.migaki/feedback/chats.preferences.jsonl")
    hold(AFAR, {"prepare": PrepareSettings(preferences=[f"pairs:{fed}", fed])})
    held = fed.replace("preferences", "held")  # for a person to look at
    for settings in (
        PrepareSettings(text=[fed]),
        PrepareSettings(preferences=[held]),
        PrepareSettings(preferences=["pairs:.migaki/platform/secret"]),
    ):
        with pytest.raises(MigakiError, match="outside"):
            hold(AFAR, {"prepare": settings})
