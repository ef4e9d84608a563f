"""How the stages reward and align are declared: one flow, `align`, runs both."""

from tasks.rlhf.settings import AlignSettings, PPOSettings, RewardSettings
from tasks.stages.spec import StageSpec

HELP = "RLHF: reward models, then PPO (or RLOO, GRPO, DPO, KTO)"
REWARD = StageSpec(
    name="reward",
    help=HELP,
    settings=AlignSettings,
    counts=RewardSettings,
    kind="reward_model",
    body="tasks.rlhf.task_reward:reward",
    needs={"dataset": ("prepare",), "tuned": ("tune",)},
    pool="gpu",
    parallel=True,
    flow="align",
    part={"part": "reward"},
)
ALIGN = StageSpec(
    name="align",
    help=HELP,
    settings=AlignSettings,
    counts=PPOSettings,
    kind="adapter",
    body="tasks.rlhf.task_align:align",
    needs={"reward": ("reward",), "tuned": ("tune",), "dataset": ("prepare",)},
    fingerprint="tasks.rlhf.fingerprint:named_rewards",
    pool="gpu",
    parallel=True,
    part={"part": "policy"},
)
