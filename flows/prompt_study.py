"""Ways of asking beside each other, on published questions or on the team's own."""

from prefect import flow

from flows.running.dispatch import stage_flow
from flows.running.names import named
from flows.running.parameters import ParentRun, RunSettings
from flows.running.releases import unmeasured
from tasks.studies.prompting.settings import OWN, PromptStudySettings


@flow(name="prompt_study", flow_run_name=named)
def prompt_study(
    prompt_study: PromptStudySettings = PromptStudySettings(),
    run: RunSettings = RunSettings(),
    inputs: dict[str, str] = {},
    parent_run: ParentRun = "",
) -> str:
    """Ask a model in several ways beside each other, and say which is right most often; with the suite own, the newest model's chatbot with several
    templates. Nothing takes up what is best by itself. Returns the artifact's id.

    Args:
        inputs: Of the suite own: artifact ids by role; empty takes the newest
    """
    if prompt_study.suite == OWN:
        return stage_flow("own_prompts", prompt_study, run, inputs, parent_run, unmeasured)
    return stage_flow("prompt_study", prompt_study, run, inputs, parent_run)
