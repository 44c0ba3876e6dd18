"""Training of the size hint: Stable-Baselines3's PPO (Schulman et al. 2017) on `TradingEnv`.

The training runs in parts. Each part starts from the saved bytes of the one before with seeds of
its own, also when nothing was interrupted, so that a killed training ends with the same hint.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv

from hybridnb.learning.hint import Hint
from hybridnb.learning.params import PpoParams
from hybridnb.learning.recurrent import reproducible
from hybridnb.learning.rewards import mix_of
from hybridnb.learning.trading_env import EpisodeData, TradingEnv
from hybridnb.limits import Limits
from hybridnb.policy import Policy

PARTS = 10  # each says a line and can be resumed from


def train_ppo(
    data: EpisodeData,
    policy: Policy,
    lim: Limits,
    params: PpoParams,
    *,
    seed: int,
    checkpoint: Path | None = None,
    say: Callable[[str], None],
) -> Hint:
    """Train and take the actor out as arrays.

    Parameters
    ----------
    data : EpisodeData
    checkpoint : Path or None
        Folder for finished parts: of one training only, since whatever lies there is resumed.

    Returns
    -------
    Hint
        After as many whole rollouts of `n_steps × envs` as `timesteps` holds, at least one.
    """
    rollout = params.n_steps * params.envs
    rollouts = max(1, params.timesteps // rollout)
    parts = min(PARTS, rollouts)
    # After part k so many steps are done.
    ends = [rollout * (rollouts * (k + 1) // parts) for k in range(parts)]
    saved, curve = _latest(checkpoint)
    done = len(curve)
    with reproducible():
        for part in range(done, parts):
            model = _model(saved, data, policy, lim, params=params, seed=seed + 7919 * part)
            seen = _Rewards()
            steps = ends[part] - (ends[part - 1] if part else 0)
            # Our own progress is said; Stable-Baselines3's log would leave folders behind.
            model.set_logger(Logger(folder=None, output_formats=[]))
            model.learn(steps, callback=seen, reset_num_timesteps=True)
            buffer = io.BytesIO()
            model.save(buffer)
            saved = buffer.getvalue()
            curve = [*curve, seen.means]
            _keep(checkpoint, part, saved, curve)
            say(
                f"  size hint {ends[part]:,} of {ends[-1]:,} steps:"
                f" mean reward {seen.means[-1]:+.4f}"
            )
        actor = _model(saved, data, policy, lim, params=params, seed=seed)
    return Hint(_layers(actor), tuple(v for means in curve for v in means))


def _model(
    saved: bytes | None,
    data: EpisodeData,
    policy: Policy,
    lim: Limits,
    *,
    params: PpoParams,
    seed: int,
) -> PPO:
    env = vector_env(data, policy, lim, params, seed=seed)
    set_random_seed(seed)
    if saved is not None:
        model: PPO = PPO.load(io.BytesIO(saved), env=env, device="cpu")
        model.set_random_seed(seed)
        return model
    return PPO(
        "MlpPolicy",
        env,
        learning_rate=params.learning_rate,
        n_steps=params.n_steps,
        batch_size=params.batch,
        n_epochs=params.epochs,
        gamma=params.gamma,
        gae_lambda=params.gae_lambda,
        ent_coef=params.entropy,
        policy_kwargs={"net_arch": [params.hidden, params.hidden]},
        seed=seed,
        device="cpu",
    )


def vector_env(
    data: EpisodeData, policy: Policy, lim: Limits, params: PpoParams, *, seed: int
) -> DummyVecEnv:
    """`params.envs` environments side by side; each draws its names from its own seed.

    Raises
    ------
    ValueError
        When no name has enough sessions.
    """
    buckets = data.rows["bucket"][0]
    names = [s for s in data.usable() if lim.name[int(buckets[s])] > 0.0]
    if not names:
        raise ValueError("no name that may be traded has enough sessions for the size hint")
    mix = mix_of(params)
    made = DummyVecEnv(
        [lambda: TradingEnv(data, policy, lim, mix, names=names) for _ in range(params.envs)]
    )
    made.seed(seed)
    return made


class _Rewards(BaseCallback):
    """Mean reward of a step in each rollout."""

    def __init__(self) -> None:
        super().__init__()
        self.means: list[float] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.means.append(float(self.locals["rollout_buffer"].rewards.mean()))


def _layers(model: PPO) -> tuple[tuple[Any, Any], ...]:
    policy: Any = model.policy
    linear = [m for m in policy.mlp_extractor.policy_net if hasattr(m, "weight")]
    return tuple(
        (m.weight.detach().numpy().astype(np.float64), m.bias.detach().numpy().astype(np.float64))
        for m in [*linear, policy.action_net]
    )


def _latest(folder: Path | None) -> tuple[bytes | None, list[list[float]]]:
    if folder is None or not folder.is_dir():
        return None, []
    found = sorted(folder.glob("part-*.zip"))
    if not found:
        return None, []
    curve = json.loads(found[-1].with_suffix(".json").read_text(encoding="utf-8"))
    return found[-1].read_bytes(), curve


def _keep(folder: Path | None, part: int, saved: bytes, curve: list[list[float]]) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    # The curve first: a part counts once its model is there.
    for suffix, content in ((".json", json.dumps(curve).encode()), (".zip", saved)):
        fresh = folder / f"fresh.{os.getpid()}"
        fresh.write_bytes(content)
        os.replace(fresh, folder / f"part-{part:03d}{suffix}")
