"""The chat's model in float32 and in bfloat16: what the lower precision changes, and tokens/s, in turn.

    python benchmarks/serving_dtype.py [--model PATH]

Every third of the example project's instructions: cross-entropy of the reference answer (nats a token), KL divergence of the next token's
distribution from that of float32, and how often both would choose the same token. Speed: a prompt of 400 tokens read, and 16 answers decoded
together after prompts of that length, as `migaki serve` does both; medians.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from common import bundled_model
from torch import Tensor
from transformers import PreTrainedModel

from tasks.inference.backend import Sampling
from tasks.inference.batching import BatchLimits, ContinuousBatch
from tasks.inference.rows import Row
from tasks.models.loader import load_model, load_tokenizer
from tasks.models.packed import multiplies_bfloat16, pack_linear
from tasks.prompts.template import encode_prompt

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
DTYPES = ("float32", "bfloat16")
ANSWER, PROMPT, USERS, RUNS = 120, 400, 16, 7


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=Path, help="folder of a causal language model (default: the bundled one)")
    path = options.parse_args().model or bundled_model()
    models = {}
    for dtype in DTYPES:
        models[dtype] = load_model(path, dtype)
        pack_linear(models[dtype], head=models[dtype].get_output_embeddings())
    print(json.dumps({"processor_multiplies_bfloat16": multiplies_bfloat16()} | quality(models, examples(path))))
    found = {dtype: {"read": [], "decode": []} for dtype in DTYPES}
    for _ in range(RUNS):
        for dtype, model in models.items():
            for what, speed in zip(("read", "decode"), speeds(model), strict=True):
                found[dtype][what].append(speed)
    print(json.dumps({dtype: {f"{w}_tokens_s": round(statistics.median(v)) for w, v in found[dtype].items()} for dtype in DTYPES}))


def examples(path: Path) -> list[tuple[list[int], list[int]]]:
    """(prompt, answer) in tokens."""
    tokenizer, found = load_tokenizer(path), []
    for file in sorted(EXAMPLES.glob("instructions*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines()[::3]:
            row = json.loads(line)
            prompt = encode_prompt(tokenizer, [{"role": "user", "content": row["instruction"]}])
            found.append((prompt, tokenizer(row["output"], add_special_tokens=False)["input_ids"][:ANSWER]))
    return found


@torch.inference_mode()
def quality(models: dict[str, PreTrainedModel], pairs: list[tuple[list[int], list[int]]]) -> dict[str, float]:
    loss, divergence, same, tokens = dict.fromkeys(DTYPES, 0.0), 0.0, 0, 0
    for prompt, answer in pairs:
        exact, rounded = (logprobs(models[dtype], prompt, answer) for dtype in DTYPES)
        for dtype, found in zip(DTYPES, (exact, rounded), strict=True):
            loss[dtype] -= float(found.gather(1, torch.tensor(answer)[:, None]).sum())
        divergence += float((exact.exp() * (exact - rounded)).sum())
        same += int((exact.argmax(-1) == rounded.argmax(-1)).sum())
        tokens += len(answer)
    figures = {f"loss_{dtype}": round(loss[dtype] / tokens, 4) for dtype in DTYPES}
    return figures | {"kl": round(divergence / tokens, 5), "same_choice": round(same / tokens, 4), "tokens": tokens}


def logprobs(model: PreTrainedModel, prompt: list[int], answer: list[int]) -> Tensor:
    """(answer, vocabulary), before each token of the answer."""
    return model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)


def speeds(model: PreTrainedModel) -> tuple[float, float]:
    """Tokens/s reading and decoding."""
    batch, random = ContinuousBatch(model, BatchLimits(USERS, kept_tokens=0)), torch.Generator().manual_seed(0)
    reading = []
    for _ in range(USERS):
        ids = torch.randint(5, model.config.vocab_size, (PROMPT,), generator=random).tolist()
        batch.join(Row(ids, Sampling(temperature=0.0, no_repeat_ngram=0), 96, set()))
        start = time.perf_counter()
        batch._read_on()
        reading.append(PROMPT / (time.perf_counter() - start))
    decoding = []
    for _ in range(10):
        start = time.perf_counter()
        batch.step()
        decoding.append(USERS / (time.perf_counter() - start))
    return statistics.median(reading), statistics.median(decoding)


if __name__ == "__main__":
    main()
