"""PPO's critic: the reward model's twin, whose head tells the value of what has been said so far."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.models.batching import Batch
from tasks.models.trunk import layer_count
from tasks.rlhf.reward import AnyRewardModel, RewardModel
from tasks.rlhf.roles import CRITIC, Roles, ScalarHead, scalar_head


class Critic:
    """The reward model's twin with a head of values. Its adapter learns in the top `fraction` of the model's layers; below, it never changes
    and runs once a round. A fraction of 0 leaves the head alone to learn, on the reward model's own final states."""

    def __init__(self, roles: Roles, head: nn.Linear, fraction: float):
        layers = layer_count(roles.base)
        self.roles, self.head = roles, head
        self.layer = layers - learning_layers(layers, layers - roles.layer, fraction)
        self.head_only = self.layer == layers
        self.parameters = [*roles.parameters(CRITIC, self.layer), *head.parameters()]

    @torch.no_grad()
    def states(self, trunk: Tensor, mask: Tensor) -> Tensor:
        """(B, T, H) that `values` starts from, of trunk states."""
        if self.head_only:
            return self.roles.final(CRITIC, trunk, mask)
        return self.roles.between(CRITIC, trunk, mask, self.layer)

    def values(self, states: Tensor, batch: Batch) -> Tensor:
        """(N,) one for each answer token."""
        final = states if self.head_only else self.roles.final(CRITIC, states, batch.mask, self.layer)
        return self.head(final[batch.predicts])[:, 0]


def learning_layers(layers: int, adapted: int, fraction: float) -> int:
    """How many layers a fraction of all of them is: at most those that are adapted and at least one, unless the fraction is 0."""
    return min(adapted, max(1, round(layers * fraction))) if fraction else 0


@dataclass(frozen=True)
class CriticStart:
    """What a critic starts as: a reward model, as an adapter of this rank on these modules (`tasks.models.lora.target_modules`)."""

    reward: AnyRewardModel
    rank: int
    targets: str

    @torch.no_grad()
    def make(self, roles: Roles, fraction: float, weight: float, seed: int) -> Critic:
        """The critic among these roles; the normalisation of the reward model and the `weight` of its scores are folded into the head."""
        roles.add(CRITIC, self.rank, self.targets, seed)
        reward = self.reward
        if isinstance(reward, RewardModel) and reward.roles is roles:
            roles.load_state(CRITIC, roles.state(reward.role))
        head: ScalarHead = scalar_head(roles.hidden_size, seed).to(roles.device)
        scale = weight / reward.std
        head.weight.copy_(reward.head.weight * scale)
        bias = 0.0 if reward.head.bias is None else reward.head.bias
        head.bias.fill_(float(bias - reward.mean) * scale)
        return Critic(roles, head, fraction)
