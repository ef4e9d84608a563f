"""The stage decoding_study: the ways of decoding compared on the newest dataset's held-out prompts."""

from dataclasses import replace

from storage.artifacts import ArtifactRef
from storage.kinds import Studied
from tasks.errors import MigakiError
from tasks.inference.strategies import WHOLE, decodings
from tasks.models.families import stated_context_length
from tasks.models.loader import load_tokenizer
from tasks.prompts.template import encode_prompt
from tasks.stages.opening import open_checked
from tasks.stages.work import Work, require
from tasks.studies.decoding.plots import example_plot, next_token_plot, trade_off_plot
from tasks.studies.decoding.prompts import held_out_prompts
from tasks.studies.decoding.settings import DecodingStudySettings
from tasks.studies.decoding.study import DecodingStudy, Model
from tasks.studies.task_run import studied

NOTES = (
    "Correctness is 1 or 0 for own questions with `accept` (no document is looked up for them), and for other prompts the chrF between answer and reference "
    "(Popović 2015); it is the mean over the answers that were drawn.",
    "Distinct-n (Li et al. 2016) and self-similarity are over the answers to one prompt. Greedy and beam search say the same every time, and count as "
    "having said it as often as the others drew.",
    "Log-likelihood is the model's own, at temperature 1 and without penalties, of all answers; the end of an answer counts as a token.",
    "The arm that is best here was chosen on these prompts: what it is worth to the chatbot is measured by the gate, on others.",
)


def decoding_study(settings: DecodingStudySettings, inputs: dict[str, ArtifactRef], work: Work) -> Studied:
    """Compare the ways of decoding.

    Raises:
        MigakiError: a strategy is named twice; or the dataset has no held-out prompt with an answer that fits.
    """
    shared = replace(
        WHOLE,
        max_new_tokens=settings.max_new_tokens,
        no_repeat_ngram=settings.no_repeat_ngram,
        repetition_penalty=settings.repetition_penalty,
    )
    ways = decodings(settings.strategies, settings.temperatures, shared)
    folder = work.open(require(inputs, "dataset", "prepare"))
    tokenizer = load_tokenizer(work.model.path)
    room = min(settings.prompt_tokens, (stated_context_length(work.model.path) or settings.prompt_tokens) - settings.max_new_tokens)
    items = held_out_prompts(folder, settings.items, lambda messages: len(encode_prompt(tokenizer, messages)) <= room)
    if not items:
        raise MigakiError(
            f"the dataset has no held-out prompt with an answer, of at most {room} tokens: give questions with `migaki prepare --questions FILE`, "
            "or raise decoding_study.prompt_tokens"
        )
    ref = inputs.get("model") if settings.model == "newest" else None

    def open_model() -> Model:
        return open_checked(work, ref, today=work.today(inputs), beside=True)

    study = DecodingStudy(ways, items, open_model, settings.samples, settings.seed)
    first = {item.lang: item for item in reversed(items)}
    return studied(
        study,
        work,
        lambda results, found: [
            example_plot(),
            *[next_token_plot(study, first[lang]) for lang in sorted(first)],
            trade_off_plot(found, [arm.name for arm in study.arms]),
        ],
        NOTES,
    )
