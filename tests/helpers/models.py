"""Tiny random models of every family and tiny tokenizers, made on the spot."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
VOCABULARY = 256 + len(SPECIAL)


def tiny_tokenizer(chat_template: bool = True) -> PreTrainedTokenizerFast:
    """One token per byte, so any text round-trips; pad == eos == `<|end|>`, as in the bundled model."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>", additional_special_tokens=SPECIAL[1:]
    )
    if chat_template:
        fast.chat_template = CHAT_TEMPLATE
    return fast


def _ready(model: PreTrainedModel) -> PreTrainedModel:
    return model.eval().requires_grad_(False)


def tiny_llama(vocab: int = VOCABULARY, layers: int = 4, hidden: int = 32, seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return _ready(
        LlamaForCausalLM(
            LlamaConfig(
                vocab_size=vocab,
                hidden_size=hidden,
                intermediate_size=2 * hidden,
                num_hidden_layers=layers,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=512,
                eos_token_id=min(256, vocab - 1),
                pad_token_id=min(256, vocab - 1),
                bos_token_id=None,
            )
        )
    )


def tiny_gpt2(vocab: int = VOCABULARY, layers: int = 4, hidden: int = 32, seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return _ready(
        GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocab,
                n_embd=hidden,
                n_layer=layers,
                n_head=4,
                n_positions=512,
                eos_token_id=min(256, vocab - 1),
                bos_token_id=min(256, vocab - 1),
            )
        )
    )


def tiny_neox(vocab: int = VOCABULARY, layers: int = 4, hidden: int = 32, seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return _ready(
        GPTNeoXForCausalLM(
            GPTNeoXConfig(
                vocab_size=vocab,
                hidden_size=hidden,
                intermediate_size=2 * hidden,
                num_hidden_layers=layers,
                num_attention_heads=4,
                max_position_embeddings=512,
                eos_token_id=min(256, vocab - 1),
                bos_token_id=min(256, vocab - 1),
            )
        )
    )


def tiny_falcon(vocab: int = VOCABULARY, layers: int = 4, hidden: int = 32, seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return _ready(
        FalconForCausalLM(
            FalconConfig(
                vocab_size=vocab,
                hidden_size=hidden,
                num_hidden_layers=layers,
                num_attention_heads=4,
                max_position_embeddings=512,
                eos_token_id=min(256, vocab - 1),
                bos_token_id=min(256, vocab - 1),
            )
        )
    )


FAMILIES = {"llama": tiny_llama, "gpt2": tiny_gpt2, "neox": tiny_neox, "falcon": tiny_falcon}


def save_tiny(path, family: str = "llama", chat_template: bool = True, **kwargs):
    """A model folder with a tokenizer in it, as a user would have one."""
    FAMILIES[family](**kwargs).save_pretrained(path)
    tiny_tokenizer(chat_template).save_pretrained(path)
    return path
