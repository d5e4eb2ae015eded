"""What may be set about training. Free of PyTorch: it is checked while the DAG is built."""

from __future__ import annotations

from typing import Literal

from reprise.settings import Field, Settings

TRIAL_SEED = 0  # of every trial of a search; reported runs have seeds from 1 on unless asked otherwise


class Profile(Settings):
    """What an item, a history or a list is said to be about: p(g | s), and its divergence from a list's q(g)."""

    feature: str = Field(description="the items' feature whose values g are, such as `attributes`")
    part: Literal["history", "train"] = Field(
        "history", description="what a history is: all before the held-out part, or the training part of it"
    )
    window: int | None = Field(None, ge=1, description="how many items of a history count, the last; null: all")
    smoothing: float = Field(0.01, gt=0, lt=1, description="share of p mixed into q, so that q(g) > 0 where p(g) > 0")
    log_base: Literal["e", 2] = Field("e", description="of the logarithm in a divergence")


class Schedule(Settings):
    """How AdamW goes about it, and how its learning rate rises and falls."""

    over_epochs: int | None = Field(None, ge=1, description="epochs after which the rate is 0; null: max_epochs")
    warm_up: float = Field(ge=0, lt=1, description="share of these in which it rises")
    weight_decay: float = Field(ge=0)
    clip: float | None = Field(None, gt=0, description="largest norm of a step's gradient")
    accumulate: int = Field(1, ge=1, description="batches a step")
    epsilon: float = Field(1e-8, gt=0, description="beside the root of AdamW's second moment")


class Training(Settings):
    """How a run is trained, and on what its epoch and inference setting are chosen."""

    batch: int = Field(
        ge=1,
        description="size of a step: users, each with one positive and one negative item; of sequences, targets; of "
        "pointwise methods, rows; of methods that write, texts",
    )
    learning_rate: float = Field(gt=0)
    l2: float = Field(
        0.0, ge=0, description="weight of the batch rows' squared norm, halved and divided by the batch size"
    )
    max_epochs: int = Field(ge=0, description="0: lists are made with the weights that it starts from")
    eval_every: int = Field(ge=1, description="epochs between two evaluations")
    patience: int = Field(ge=1, description="evaluations without a new best after which training stops")
    metric: Literal["hr", "recall", "ndcg", "mrr"] = Field(description="what is best")
    ties: Literal["later", "earlier"] = Field(
        "earlier", description="which of two epochs with equal scores is best; `later` restarts patience"
    )
    k: int = Field(ge=1, description="cut-off of that metric")
    ks: tuple[int, ...] = Field(description="cut-offs of every reported metric")
    fit_on: Literal["train", "train+valid"] = Field(description="what the search phase trains on")
    select_on: Literal["valid", "test"] = Field(description="what chooses the epoch and the inference setting")
    refit: bool = Field(description="train again on train+valid for the chosen number of steps before the test is read")
    empty_users: Literal["skip", "item0"] = Field(
        "skip", description="users without training rows: never drawn, or item 0 is their positive"
    )
    sampling: Literal["user_uniform", "interaction_uniform"] = Field(
        "user_uniform", description="of pairs: a batch of users, each with one of its interactions; or a batch of "
        "interactions"
    )
    negatives: int = Field(
        1, ge=1, description="of pairs: items that were not met, for each of which a positive stands in the batch"
    )
    precision: Literal["full", "mixed"] = Field(
        "full", description="of sequence models and those that write: float32 throughout; or matrix products of "
        "bfloat16 numbers, while weights, their gradients and all sums stay float32. Scores are always in full"
    )
    mask: Literal["history", "train", "none", "zero"] = Field(
        "history",
        description="a user's own history when ranking: not offered, only its training part not offered, offered, or "
        "its scores set to 0"
    )
    schedule: Schedule | None = Field(None, description="of methods that write: AdamW and its learning rate")
    profile: Profile | None = Field(None, description="what ckl and ild of a list are about; null: neither is measured")
