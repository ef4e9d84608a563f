"""A tiny random sentence-transformers model, made on the spot: one token per character, 16 dimensions."""

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
CHARACTERS = (
    "abcdefghijklmnopqrstuvwxyz0123456789.,?!>。、「」？"
    + "".join(chr(code) for code in range(0x3041, 0x30FF))
    + "猫犬庭川石灯冬銅琴港文字語学習量子化報酬答質問"
)
LIMIT = 64


def save_tiny_embedder(path: Path) -> Path:
    """An embedder folder that reads 64 tokens."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate([*SPECIAL, *CHARACTERS])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")])
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    bert = path / "bert"
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=LIMIT,
    )
    BertModel(config).save_pretrained(bert)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(bert)
    transformer = Transformer(str(bert), max_seq_length=LIMIT)
    SentenceTransformer(modules=[transformer, Pooling(16), Normalize()], device="cpu").save_pretrained(str(path))
    return path
