"""One frozen trunk, several roles: policy, critic and reward models are LoRA adapters on its top layers; the reference is no adapter at all.

Whoever needs states computes the trunk's once and passes them to every role.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from tasks.models.batching import Batch
from tasks.models.families import layer_index
from tasks.models.lora import lora_config, lora_layers
from tasks.models.trunk import TopModel, hidden_size, lm_head, trunk_states

# PEFT writes the adapter called "default" into the folder that it is given (others into one below it), and it is the one that TRL trains.
POLICY, CRITIC = "default", "critic"


class Roles:
    """A model whose layers below `layer` are shared and frozen, and named adapters on the layers above."""

    def __init__(self, model: PreTrainedModel, layer: int):
        self.base, self.layer = model, layer
        self._model: PeftModel | None = None
        self.top = TopModel(model, layer)
        self.head = lm_head(model)

    @property
    def model(self) -> PeftModel:
        """The model with all adapters that were added; there is none before the first."""
        if self._model is None:
            raise RuntimeError("no role was added yet")
        return self._model

    @property
    def device(self) -> torch.device:
        return self.base.device

    @property
    def hidden_size(self) -> int:
        return hidden_size(self.base)

    def add(self, role: str, rank: int, targets: str, seed: int) -> list[nn.Parameter]:
        """A fresh adapter (zero effect at first) and its parameters."""
        torch.manual_seed(seed)
        config = lora_config(self.base, rank, 2 * rank, 0.0, self.layer, targets)
        return self._attach(role, config)

    def _attach(self, role: str, config: LoraConfig) -> list[nn.Parameter]:
        if self._model is None:
            self._model = get_peft_model(self.base, config, adapter_name=role)
            self.top = TopModel(self._model, self.layer)
        else:
            self._model.add_adapter(role, config)
        return self.parameters(role)

    def parameters(self, role: str, layer: int = 0) -> list[nn.Parameter]:
        """The role's adapter weights in the layers from `layer` on."""
        named = [(name, parameter) for name, parameter in self.model.named_parameters() if f".{role}." in name]
        return [parameter for name, parameter in named if (layer_index(name) or 0) >= layer]

    def state(self, role: str) -> dict[str, Tensor]:
        """The role's adapter weights by names that do not contain the role's."""
        return {name.replace(f".{role}.", "."): p.detach().clone() for name, p in self.model.named_parameters() if f".{role}." in name}

    @torch.no_grad()
    def load_state(self, role: str, state: dict[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            if f".{role}." in name:
                parameter.copy_(state[name.replace(f".{role}.", ".")])

    @contextmanager
    def acting(self, role: str | None) -> Iterator[None]:
        """Inside, the model is that role; None is the reference."""
        if self._model is None:
            yield
        elif role is None:
            with self.model.disable_adapter():
                yield
        else:
            self.model.set_adapter(role)
            yield

    @contextmanager
    def merged(self, role: str) -> Iterator[nn.Module]:
        """Inside, the model's own weights are that role, so that decoding pays nothing for adapters; they come back bit for bit.

        Weights in fewer bits cannot take an adapter in without loss: on those the role acts as ever.
        """
        layers = lora_layers(self.model)
        weights = [cast(Tensor, layer.get_base_layer().weight) for layer in layers]
        if not all(weight.is_floating_point() for weight in weights):
            with self.acting(role):
                yield self.model
            return
        originals = [weight.detach().clone() for weight in weights]
        try:
            with self.acting(role):
                for layer in layers:
                    layer.merge(adapter_names=[role])
                yield self.model
        finally:
            with torch.no_grad():
                for layer, original in zip(layers, originals, strict=True):
                    cast(Tensor, layer.get_base_layer().weight).copy_(original)
                    layer.merged_adapters.clear()

    def states(self, batch: Batch) -> Tensor:
        """(B, T, H) states that enter the top; the same for every role."""
        return trunk_states(self.base, batch.ids, batch.mask, self.layer)

    @torch.no_grad()
    def between(self, role: str, states: Tensor, mask: Tensor, layer: int) -> Tensor:
        """(B, T, H) states that enter `layer` as a role makes them of those that enter the top."""
        if layer == self.layer:
            return states
        with self.acting(role):
            return TopModel(self.model, self.layer, layer)(states, mask)

    def final(self, role: str | None, states: Tensor, mask: Tensor, layer: int | None = None, positions: Tensor | None = None) -> Tensor:
        """(B, T, H) states after the last norm, as seen by a role; `states` enter `layer`, the first of the top if None.

        Mask and positions are those of `trunk_states`.
        """
        top = self.top if layer in (None, self.layer) else TopModel(self.model, layer)
        with self.acting(role):
            return top(states, mask, positions)


class ScalarHead(nn.Linear):
    """Linear (..., H) -> (..., 1) in float32, whatever the trunk computes in: losses and what they are made of keep their precision."""

    def forward(self, states: Tensor) -> Tensor:
        return super().forward(states.float())


def scalar_head(hidden: int, seed: int) -> ScalarHead:
    """Linear (H,) -> scalar with weights of standard deviation 1/sqrt(H + 1) (Stiennon et al. 2020; Huang et al. 2024, detail 8)."""
    head = ScalarHead(hidden, 1)
    generator = torch.Generator().manual_seed(seed)
    nn.init.normal_(head.weight, std=(hidden + 1) ** -0.5, generator=generator)
    nn.init.zeros_(head.bias)
    return head


def last_state(final: Tensor, mask: Tensor) -> Tensor:
    """(B, H): the state at each row's last real token, told by the mask of right-padded rows (B, T)."""
    return final[torch.arange(len(final)), mask.sum(-1) - 1]
