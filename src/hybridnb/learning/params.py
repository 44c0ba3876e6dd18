"""`params/learning.yml`: what is trained, and how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hybridnb.policy import Finite, Params, Share

Rate = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class PredictorParams(Params):
    """A predictor: its family and how many sessions ahead it looks."""

    family: Literal["gru", "lstm", "boosting"] = Field("gru", description="kind of model")
    horizon: int = Field(5, ge=1, le=60, description="sessions ahead")


class RecurrentParams(Params):
    """The recurrent network."""

    hidden: int = Field(32, ge=2, le=512, description="units of a layer")
    layers: int = Field(3, ge=1, le=5, description="recurrent layers")
    window: int = Field(30, ge=2, le=250, description="sessions that a sequence holds")
    stride: int = Field(1, ge=1, le=20, description="every n-th sequence is trained on")
    epochs: int = Field(20, ge=1, le=1000, description="passes over the sequences")
    batch: int = Field(512, ge=8, le=65536, description="sequences a step")
    learning_rate: Rate = Field(2e-3, description="of Adam, falling to 0 by a cosine")
    dropout: Share = Field(0.1, description="between layers")


class BoostingParams(Params):
    """Histogram gradient boosting (scikit-learn)."""

    iterations: int = Field(200, ge=1, le=5000, description="trees")
    learning_rate: Rate = Field(0.05, description="shrinkage")
    leaves: int = Field(15, ge=2, le=255, description="of a tree, at most")
    least_leaf: int = Field(50, ge=1, le=100_000, description="rows of a leaf, at least")
    l2: float = Field(1.0, ge=0, le=1e6, description="regularisation")


class WalkForwardParams(Params):
    """Purged, embargoed walk-forward."""

    splits: int = Field(5, ge=1, le=50, description="folds")
    purge: int = Field(0, ge=0, le=1000, description="sessions; 0: the label's horizon")
    embargo: Share = Field(0.01, description="share of the sessions")
    min_train: int = Field(500, ge=50, le=100_000, description="sessions of the first training")


class PpoParams(Params):
    """The size hint: Stable-Baselines3 PPO and its reward."""

    mix: Literal["balanced", "aggressive", "conservative", "sharpe"] = Field(
        "balanced", description="mix of reward terms"
    )
    returns: Share = Field(0.6, description="weight of returns, relative to 0.6")
    turnover: Share = Field(0.2, description="weight of turnover, relative to 0.2")
    drawdown: Share = Field(0.2, description="weight of drawdown, relative to 0.2")
    penalty_rate: Share = Field(0.01, description="charged per unit of turnover")
    timesteps: int = Field(200_000, ge=256, le=100_000_000, description="environment steps")
    envs: int = Field(8, ge=1, le=256, description="environments side by side")
    n_steps: int = Field(256, ge=8, le=65536, description="steps an update, each environment")
    batch: int = Field(512, ge=8, le=1_000_000, description="minibatch")
    epochs: int = Field(5, ge=1, le=100, description="passes over an update's steps")
    learning_rate: Rate = Field(1e-3, description="of Adam")
    gamma: Share = Field(0.9, description="discount of a session")
    gae_lambda: Share = Field(0.9, description="of the generalised advantage")
    entropy: Finite = Field(0.0, ge=0, le=1, description="bonus for exploring")
    hidden: int = Field(32, ge=2, le=512, description="units of both layers")


class LearningParams(Params):
    """A training profile."""

    short: PredictorParams = PredictorParams(family="gru", horizon=5)
    mid: PredictorParams = PredictorParams(family="boosting", horizon=20)
    recurrent: RecurrentParams = RecurrentParams()
    boosting: BoostingParams = BoostingParams()
    walk_forward: WalkForwardParams = WalkForwardParams()
    calibration: Literal["platt", "isotonic", "temperature"] = Field(
        "platt", description="calibrator of the target's probability"
    )
    barrier_horizon: int = Field(20, ge=1, le=250, description="sessions to reach the target")
    ppo: PpoParams = PpoParams()
