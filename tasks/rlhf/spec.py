"""How the stages reward, align and choose are declared: one flow, `align`, runs them."""

from tasks.rlhf.settings import AlignSettings, ChooseSettings, PPOSettings, RewardSettings
from tasks.stages.spec import StageSpec

HELP = "RLHF: reward models, then PPO (or RLOO, GRPO, DPO, KTO), then which model goes on"
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
CHOOSE = StageSpec(
    name="choose",
    help=HELP,
    settings=AlignSettings,
    counts=ChooseSettings,
    kind="adapter",
    body="tasks.rlhf.task_choose:choose",
    needs={"aligned": ("align",), "tuned": ("tune",), "dataset": ("prepare",)},
    takes={"reward": ("reward",)},  # without them the aligned model goes on, and it is said
    fingerprint="tasks.rlhf.fingerprint:named_rewards",
    pool="gpu",
    flow="align",
    part={"part": "choose"},
)
