"""A backend over a tiny random model."""

from tasks.inference.grammar import complete_json, option_logprobs
from tasks.prompts.template import encode_prompt
from tests.helpers.models import tiny_llama, tiny_tokenizer


class Tiny:
    """A backend over a random model: what it decides cannot come from what it knows."""

    name, context = "tiny", 4096

    def __init__(self, seed=0):
        self.model, self.tokenizer, self.asked = tiny_llama(seed=seed), tiny_tokenizer(), []
        self.model.config.max_position_embeddings = 4096

    def choose(self, messages, options):
        return option_logprobs(self.model, self.tokenizer, encode_prompt(self.tokenizer, messages), options)

    def complete_json(self, messages, schema, prefix, max_new_tokens):
        self.asked.append(messages)
        return complete_json(self.model, self.tokenizer, encode_prompt(self.tokenizer, messages), schema, max_new_tokens)
