"""`migaki generate` as a user runs it, on tiny models: each way of decoding, chat or plain, and what is refused before a model is opened."""

import io
import re

import pytest
import torch

from flows.commands import generate as command
from flows.commands.generate import Asked, generate
from storage.home import Home
from tasks.errors import MigakiError
from tasks.inference.batching import ContinuousBatch
from tasks.prompts.template import encode_prompt
from tests.helpers.command import migaki_in_process
from tests.helpers.models import save_tiny, tiny_gpt2, tiny_llama, tiny_tokenizer

WAYS = ["--compare", "greedy,beam:3,top_k:5,min_p:0.1", "--temperatures", "0.5,1.5", "-n", "2", "--max-new-tokens", "8"]


@pytest.fixture
def chat_model(tmp_path):
    return save_tiny(tmp_path / "talker")


@pytest.fixture
def base_model(tmp_path):
    tiny_gpt2().save_pretrained(tmp_path / "base")
    tiny_tokenizer(chat_template=False).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def test_a_base_model_goes_on_with_each_text_in_every_way(tmp_path, base_model):
    said = migaki_in_process(tmp_path / "home", "generate", "Once upon", "昔々", "--model", str(base_model), *WAYS)
    assert said["chat"] is False and said["model"] == "base" and [one["prompt"] for one in said["prompts"]] == ["Once upon", "昔々"]
    for one in said["prompts"]:
        found = {way["decoding"]: way["answers"] for way in one["continuations"]}
        assert {name: len(answers) for name, answers in found.items()} == {
            "greedy": 1,
            "beam:3": 1,
            "top_k:5 T=0.5": 2,
            "top_k:5 T=1.5": 2,
            "min_p:0.1 T=0.5": 2,
            "min_p:0.1 T=1.5": 2,
        }
        ids = tiny_tokenizer()(one["prompt"])["input_ids"]
        greedy = tiny_gpt2().generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False)[0, len(ids) :]
        assert found["greedy"][0]["text"] == tiny_tokenizer().decode(greedy, skip_special_tokens=True).rstrip("\ufffd")
        assert all(answer["tokens"] <= 8 and answer["reason"] in ("stop", "length") for answers in found.values() for answer in answers)
    for part in ("continuing the text as it is", "昔々", "greedy", "min_p:0.1 T=1.5 #2"):
        assert part in said["stderr"]
    again = migaki_in_process(tmp_path / "home", "generate", "Once upon", "--model", str(base_model), *WAYS)
    assert again["prompts"] == said["prompts"][:1]
    other = migaki_in_process(tmp_path / "home", "generate", "Once upon", "--model", str(base_model), *WAYS, "--seed", "1")
    assert other["prompts"] != said["prompts"][:1]


def test_a_model_with_a_template_answers_through_it_unless_it_is_to_go_on(tmp_path, chat_model):
    home, words = tmp_path / "home", ["generate", "hello", "--model", str(chat_model), "--compare", "greedy", "--max-new-tokens", "6"]
    for more, chat in (([], True), (["--chat"], True), (["--plain"], False)):
        said = migaki_in_process(home, *words, *more)
        ids = encode_prompt(tiny_tokenizer(), [{"role": "user", "content": "hello"}]) if chat else tiny_tokenizer()("hello")["input_ids"]
        greedy = tiny_llama().generate(torch.tensor([ids]), max_new_tokens=6, do_sample=False)[0, len(ids) :]
        wanted = tiny_tokenizer().decode(greedy, skip_special_tokens=True).rstrip("\ufffd")
        assert said["chat"] is chat and said["prompts"][0]["continuations"][0]["answers"][0]["text"] == wanted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x", "--compare", "beam:0"], "'beam:0' is no decoding strategy"),
        (["x", "--compare", "top_p:2"], "'top_p:2' is no decoding strategy"),
        (["x", "--compare", ","], "no strategy to decode by"),
        (["x", "--temperatures", "-1"], "-1 is no temperature"),
        (["x", "--temperatures", "warm"], "--temperatures 'warm': numbers"),
        (["x", " \n"], "prompt 2 is empty"),
        (["x", "-n", "0"], "-n 0: a whole number from 1 on"),
        (["x", "-n", "129"], "130 continuations of a prompt are too many.*at most 128"),
        (["x", "--no-repeat", "-2"], "--no-repeat -2: a whole number from 0 on"),
        (["x", "--max-new-tokens", "0"], "--max-new-tokens 0"),
        (["x", "--repetition-penalty", "0"], "--repetition-penalty 0: a number above 0"),
        (["x", "--seed", "-1"], "--seed -1"),
        (["x", "--set", "chat.top=1"], "top"),
        (["x", "--artifact", "abc"], "abc"),
    ],
)
def test_what_is_wrong_is_told_before_a_model_is_opened(tmp_path, monkeypatch, words, said):
    monkeypatch.setattr(command, "_base", lambda *_: pytest.fail("a model was opened"))
    answer = migaki_in_process(tmp_path / "home", "generate", *words, check=False)
    assert answer["exit_code"] == 1 and re.search(said, answer["message"])


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [160, 60])
def test_a_model_that_breaks_ends_the_command_with_what_went_wrong(tmp_path, monkeypatch, chat_model, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("tasks.inference.local.can_batch", lambda model: True)  # which asks the model whole
    monkeypatch.setattr(ContinuousBatch, "_decode", lambda *_: (_ for _ in ()).throw(MemoryError("no more")))
    (tmp_path / "home").mkdir()
    asked = Asked(["x"], compare="sample", max_new_tokens=6, samples=2, chat=False)
    with pytest.raises(MigakiError, match="the model broke off while answering .MemoryError: no more"):
        generate(Home(tmp_path / "home"), asked, {"run": {"model": str(chat_model)}}, Terminal())


@pytest.mark.parametrize(("columns", "beside"), [(160, True), (60, False)])
def test_they_stand_side_by_side_where_the_terminal_is_wide(tmp_path, monkeypatch, chat_model, columns, beside):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    asked = Asked(["磨く"], compare="greedy,top_k:5,top_p:0.9", max_new_tokens=6, samples=2)
    (tmp_path / "home").mkdir()
    said = generate(Home(tmp_path / "home"), asked, {"run": {"model": str(chat_model)}}, out)
    heads = [line for line in out.getvalue().splitlines() if "greedy" in line]
    assert all(("top_k:5 T=0.7" in line and "top_p:0.9 T=0.7" in line) == beside for line in heads) and heads
    assert len(said["prompts"][0]["continuations"]) == 3
