"""Tokenizers of the kinds that models have, trained on a few texts."""

from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.helpers.chat_templates import CONTROL, SPOKEN

ASCII = [chr(code) for code in range(33, 127)]
KINDS = ("bytes", "metaspace", "unigram")


def trained(kind: str, texts: Sequence[str], template: str | None = None, vocabulary: int = 2000) -> PreTrainedTokenizerFast:
    """A tokenizer of GPT-2's kind (`bytes`), of Llama 2's (`metaspace`: BPE with a space before each text, unknown bytes as tokens), or of T5's and
    XLM-R's (`unigram`), whose own vocabulary holds the control tokens too."""
    special = [*CONTROL, *SPOKEN]
    if kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    elif kind == "metaspace":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        bytes_as_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=[*special, *bytes_as_tokens], initial_alphabet=ASCII)
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer, tokenizer.decoder = (
            pre_tokenizers.Metaspace(prepend_scheme="first"),
            decoders.Metaspace(prepend_scheme="first"),
        )
        trainer = trainers.UnigramTrainer(vocab_size=vocabulary, special_tokens=special, unk_token="<unk>", initial_alphabet=ASCII)
    tokenizer.train_from_iterator(texts, trainer)
    # Spaces in a row as Phi-2 and NeoX have them: added tokens that are no control tokens.
    tokenizer.add_tokens([AddedToken("    ", normalized=False)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", clean_up_tokenization_spaces=False
    )
    fast.add_tokens([AddedToken(text, normalized=False, special=False) for text in SPOKEN])
    fast.chat_template = template
    return fast
