"""A rule reward for tests."""


def exclaims(prompts: list[str], answers: list[str]) -> list[float]:
    return [float(answer.count("!")) for answer in answers]
