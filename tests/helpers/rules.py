"""Rule rewards for tests."""

from accelerate import PartialState


def exclaims(prompts: list[str], answers: list[str]) -> list[float]:
    return [float(answer.count("!")) for answer in answers]


def keeps_to_ascii(prompts: list[str], answers: list[str]) -> list[float]:
    """Some of what a random model says does: a policy finds it at once."""
    return [float(sum(character.isascii() for character in answer)) for answer in answers]


def stumbles_in_the_second_process(prompts: list[str], answers: list[str]) -> list[float]:
    if PartialState().process_index == 1:
        raise ValueError("no more answers, please")
    return [0.0] * len(answers)
