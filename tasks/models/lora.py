"""LoRA (Hu et al. 2021) settings that fit the architecture: module names differ between families."""

from pathlib import Path

from peft import LoraConfig, PeftModel
from torch import nn

from tasks.errors import MigakiError
from tasks.models.trunk import causal_lm, layer_count

# Attention projections per family, and every linear layer of a block.
ATTENTION = {"gpt2": ["c_attn"], "gpt_neox": ["query_key_value"], "falcon": ["query_key_value"]}
ALL_LINEAR = {
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "gpt_neox": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
    "falcon": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
}
LLAMA_LIKE_ATTENTION = ["q_proj", "v_proj"]
LLAMA_LIKE_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def target_modules(model: nn.Module, targets: str) -> list[str]:
    """Module names for `targets`: "attention" (query and value, or the fused projection), "all-linear", or names separated by commas.

    Raises:
        MigakiError: the model has no module of a given name.
    """
    family = causal_lm(model).config.model_type
    named = {"attention": ATTENTION.get(family, LLAMA_LIKE_ATTENTION), "all-linear": ALL_LINEAR.get(family, LLAMA_LIKE_LINEAR)}
    wanted = named.get(targets) or [name.strip() for name in targets.split(",")]
    present = {name.rsplit(".", 1)[-1] for name, _ in causal_lm(model).named_modules()}
    if missing := [name for name in wanted if name not in present]:
        raise MigakiError(
            f"LoRA targets {missing} are not in this {family} model; accepted: attention, all-linear, or some of {sorted(n for n in present if not n.isdigit() and n)}"
        )
    return wanted


def lora_config(
    model: nn.Module, r: int, alpha: float, dropout: float = 0.0, from_layer: int = 0, targets: str = "attention"
) -> LoraConfig:
    """A LoRA configuration for the layers `from_layer` and above: W' = W + (alpha / r) B A, with B starting at zero."""
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=target_modules(model, targets),
        layers_to_transform=None if from_layer == 0 else list(range(from_layer, layer_count(model))),
        layers_pattern=None if from_layer == 0 else ["layers", "h"],
        fan_in_fan_out=causal_lm(model).config.model_type == "gpt2",
    )


def save_adapter(model: PeftModel, name: str, folder: Path) -> None:
    """Write one adapter into a folder, and nothing of this machine with it. `name` is "default" or the adapter lands in a folder of its name."""
    model.peft_config[name].base_model_name_or_path = ""  # where the base lies here is nobody else's business
    model.save_pretrained(folder, selected_adapters=[name], save_embedding_layers=False)  # "auto" asks the model hub
    (folder / "README.md").unlink()  # an empty form, with that path in it
