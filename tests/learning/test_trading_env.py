"""The environment: Gymnasium's contract, the decision inside it, its prices by hand."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_gymnasium
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from stable_baselines3.common.env_checker import check_env as check_sb3

from hybridnb.decide import INPUT
from hybridnb.domain import Bucket, Mode
from hybridnb.learning.hint import OBSERVATION
from hybridnb.learning.rewards import MIXES, RewardMix
from hybridnb.learning.trading_env import EPISODE, REWARD_SCALE, EpisodeData, TradingEnv
from hybridnb.limits import CODE, Limits, limits
from hybridnb.policy import Costs, Policy, Sizing

SESSIONS = 120
ATR = 0.02  # of the price: the stop lies 3.6 %, the target 5 % from the entry
COOL = Sizing(heat_limit=1e9)  # the risk to the stop takes nothing off a size
COSTLY = Policy(sizing=COOL, costs=Costs(latency="none"))
FREE = Policy(
    sizing=COOL,
    costs=Costs(
        **dict.fromkeys(("commission_per_share", "commission_minimum", "half_spread_core"), 0.0),
        impact=0.0,
    ),
)
PNL_ONLY = RewardMix(1.0, 0.0, 0.0, 0.0, 0.0, 1e9, 1e9, 0.0)
MISSED = 0.1  # what being out of a trend costs, in every mix
FULL, NONE, LEAST = (np.array([a], np.float32) for a in (1.0, 0.0, -1.0))
START = 70  # sessions of returns enough for value at risk


def market(
    closes: NDArray[np.float64] | None = None,
    *,
    conviction: float = 0.9,
    bucket: Bucket | None = None,
) -> EpisodeData:
    """One name, each open at the close before; flat at 100 unless told. Its Kelly is positive."""
    close = np.full(SESSIONS, 100.0) if closes is None else closes
    before = np.r_[close[:1], close[:-1]]
    rows = np.zeros((len(close), 1), INPUT)
    for name in ("rl", "sentiment", "liquidity", "correlation", "correlation_floor"):
        rows[name] = np.nan
    for name in ("p_short", "p_mid"):
        rows[name] = conviction
    for name, value in (("win_long", 0.6), ("win_short", 0.6), ("annual_volatility", 0.15)):
        rows[name] = value
    rows["price"], rows["atr"] = close[:, None], ATR * close[:, None]
    rows["posture"] = rows["margin_rate"] = 1.0
    rows["bucket"] = CODE[bucket or Bucket.CORE]
    prices = np.stack([before, np.maximum(before, close), np.minimum(before, close), close])
    nothing = np.zeros(len(close))
    return EpisodeData(
        rows=rows,
        prices=np.round(1e4 * prices[:, :, None]).astype(np.int64),
        returns=(close / before - 1.0)[:, None],
        volatility=np.full((len(close), 1), 0.01),
        adv=np.full((len(close), 1), 1e6),
        volatility_z=nothing,
        trend_strength=nothing,
        regimes=("trend",) * len(close),
    )


def env_of(
    data: EpisodeData, *, mix: RewardMix = PNL_ONLY, policy: Policy = FREE, start: int = START
) -> TradingEnv:
    env = TradingEnv(data, policy, limits(policy, Mode.DEMO), mix, names=[0])
    env.reset(seed=0, options={"name": 0, "start": start})
    return env


def moved(changes: dict[int, float]) -> NDArray[np.float64]:
    """Closes from 100 with these returns at these sessions."""
    returns = np.zeros(SESSIONS)
    for session, change in changes.items():
        returns[session] = change
    closes: NDArray[np.float64] = 100.0 * np.cumprod(1.0 + returns)
    return closes


def noisy(seed: int = 0) -> EpisodeData:
    rng = np.random.default_rng(seed)
    data = market(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, SESSIONS))))
    for name in ("p_short", "p_mid"):
        data.rows[name][:, 0] = rng.random(SESSIONS)
    return data


def cap_of(data: EpisodeData, lim: Limits) -> float:
    return lim.name[int(data.rows["bucket"][0, 0])]


@pytest.mark.parametrize("check", [check_gymnasium, check_sb3])
def test_it_keeps_the_contract_of_an_environment(check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(render|spec|env_checker|unwrapped).*")
        env = TradingEnv(
            noisy(), Policy(), limits(Policy(), Mode.DEMO), MIXES["balanced"], names=[0]
        )
        check(env)


@given(st.integers(0, 2**31), st.lists(st.floats(-1.0, 1.0, width=32), min_size=1, max_size=49))
def test_the_same_seed_and_actions_give_the_same_episode(seed: int, actions: list[float]) -> None:
    def played() -> list[Any]:
        env = TradingEnv(
            noisy(), Policy(), limits(Policy(), Mode.DEMO), MIXES["balanced"], names=[0]
        )
        seen = [env.reset(seed=seed)[0].tolist()]
        for action in actions:
            observation, value, over, *_ = env.step(np.array([action], np.float32))
            seen.append((observation.tolist(), value, over))
            if over:
                break
        return seen

    assert played() == played()


def test_without_conviction_no_hint_opens_a_position() -> None:
    # 0.7 × 0.5 + 0.3 × sigmoid(4) = 0.645 < 0.67
    env = env_of(market(conviction=0.5))
    assert all(env.step(FULL)[4]["held"] == 0.0 for _ in range(20))


def test_the_hint_decides_where_the_views_alone_do_not() -> None:
    # 0.7 × 0.6 + 0.3 × s reaches 0.67 from s = 0.8333: a hint of 1.609, an action of 0.402.
    below, above = (env_of(market(conviction=0.6)) for _ in range(2))
    assert below.step(np.array([0.40], np.float32))[4]["held"] == 0.0
    assert above.step(np.array([0.41], np.float32))[4]["held"] > 0.0


def test_a_sell_closes_a_long_and_opens_no_short() -> None:
    data = market()
    data.rows["p_short"][START + 1 :] = data.rows["p_mid"][START + 1 :] = 0.1
    env = env_of(data)
    assert env.step(FULL)[4]["held"] == pytest.approx(0.015)
    assert env.step(LEAST)[4]["held"] == 0.0
    assert env.step(LEAST)[4]["held"] == 0.0


@pytest.mark.parametrize(
    ("field", "value"), [("refused", 1 << 1), ("win_long", 0.4), ("atr", np.nan), ("price", np.nan)]
)
def test_what_refuses_an_entry_in_a_session_refuses_it_here(field: str, value: float) -> None:
    data = market()
    data.rows[field] = value
    assert env_of(data).step(FULL)[4]["held"] == 0.0


@pytest.mark.parametrize(
    ("bucket", "cap"), [(Bucket.CORE, 0.015), (Bucket.FNO, 0.007), (Bucket.PENNY, 0.004)]
)
def test_a_full_position_is_the_cap_of_its_class(bucket: Bucket, cap: float) -> None:
    assert env_of(market(bucket=bucket)).step(FULL)[4]["held"] == pytest.approx(cap)


def test_the_risk_to_the_stop_takes_its_share_off() -> None:
    # heat = 0.015 × 1.8 × 0.02 / 0.025 = 0.0216; 1 − 0.0216 / 0.8 = 0.973
    held = env_of(market(), policy=Policy()).step(FULL)[4]["held"]
    assert held == pytest.approx(0.015 * 0.973, rel=1e-9)


@pytest.mark.parametrize("cause", ["regime", "correlation"])
def test_a_crisis_halves_an_entry(cause: str) -> None:
    data = market()
    if cause == "regime":
        data = replace(data, regimes=("crisis",) * SESSIONS)
    else:
        data.rows["correlation"] = 0.81
    assert env_of(data).step(FULL)[4]["held"] == pytest.approx(0.0075)


@given(
    st.integers(0, 1000),
    st.sampled_from([Bucket.CORE, Bucket.FNO, Bucket.PENNY]),
    st.booleans(),
    st.lists(st.floats(-1.0, 1.0, width=32), min_size=1, max_size=49),
)
def test_no_sequence_of_actions_passes_the_cap(
    seed: int, bucket: Bucket, short: bool, actions: list[float]
) -> None:
    policy = Policy.model_validate({"sizing": {"allow_short": short}})
    data = noisy(seed)
    data.rows["bucket"] = CODE[bucket]
    env = env_of(data, policy=policy)
    cap = cap_of(data, limits(policy, Mode.DEMO))
    for action in actions:
        _, _, over, _, info = env.step(np.array([action], np.float32))
        assert abs(info["held"]) <= cap
        assert info["held"] >= 0.0 or short
        if over:
            break


def test_an_entry_fills_at_the_next_open_and_earns_from_there() -> None:
    data = market(moved({START: 0.02, START + 1: 0.01}))
    env = env_of(data)
    # The two per cent of the session it was decided on are gone; one per cent is 100 bps.
    assert env.step(FULL)[1] == pytest.approx(REWARD_SCALE * 100.0, rel=1e-4)


def test_a_stop_fills_at_its_level_and_closes() -> None:
    env = env_of(market(moved({START + 2: -0.10})))
    assert env.step(FULL)[1] == 0.0
    _, value, _, _, info = env.step(NONE)
    assert info["held"] == 0.0
    assert value == pytest.approx(REWARD_SCALE * (-1e4 * 1.8 * ATR - MISSED), rel=1e-6)


def test_a_gap_through_the_stop_fills_at_the_open() -> None:
    data = market(moved({START + 2: -0.10}))
    data.prices[0, START + 2] = data.prices[1, START + 2] = data.prices[3, START + 2]
    env = env_of(data)
    env.step(FULL)
    _, value, _, _, info = env.step(NONE)
    assert info["held"] == 0.0
    assert value == pytest.approx(REWARD_SCALE * (-1000.0 - MISSED), rel=1e-6)


def test_a_target_fills_at_its_level_and_closes() -> None:
    env = env_of(market(moved({START + 2: 0.10})))
    env.step(FULL)
    _, value, _, _, info = env.step(NONE)
    assert info["held"] == 0.0
    assert value == pytest.approx(REWARD_SCALE * (1e4 * 2.5 * ATR - MISSED), rel=1e-6)


def test_the_stop_goes_first_in_a_bar_that_reaches_both() -> None:
    data = market()
    data.prices[1, START + 2], data.prices[2, START + 2] = 1_200_000, 800_000
    env = env_of(data)
    env.step(FULL)
    assert env.step(NONE)[1] == pytest.approx(REWARD_SCALE * (-1e4 * 1.8 * ATR - MISSED), rel=1e-6)


def test_sessions_without_a_bar_trade_nothing_and_lose_nothing() -> None:
    data = market(moved({START + 4: 0.03}))
    data.prices[:, START + 2 : START + 4] = 0
    data.prices[0, START + 4] = data.prices[2, START + 4] = data.prices[3, START + 4]
    env = env_of(data)
    env.step(FULL)
    for _ in range(2):
        _, value, _, _, info = env.step(LEAST)
        assert value == 0.0 and info["held"] > 0.0
    assert env.step(NONE)[1] == pytest.approx(REWARD_SCALE * 300.0, rel=1e-4)


def test_a_round_trip_pays_fees_and_slippage_on_both_sides() -> None:
    cost_only = replace(PNL_ONLY, pnl=0.0, cost=1.0)
    data = market()
    data.rows["p_short"][START + 1 :] = data.rows["p_mid"][START + 1 :] = 0.1
    env = env_of(data, mix=cost_only, policy=COSTLY)
    # 15,000 at 100: 150 units at 0.01 are 1.50, a basis point; 2 of spread and 0.01·√(150/1e6)
    # of impact; half the slippage beyond its mean, 0 at first and a tenth of it then, once more.
    slipped = 2.0 + 1e4 * 0.01 * np.sqrt(150 / 1e6)
    bought, sold = env.step(FULL)[1], env.step(LEAST)[1]
    assert bought == pytest.approx(-REWARD_SCALE * (1.0 + 1.5 * slipped), rel=1e-6)
    assert sold == pytest.approx(-REWARD_SCALE * (1.0 + 1.45 * slipped + MISSED), rel=1e-6)


def test_a_protective_exit_pays_like_any_other() -> None:
    cost_only = replace(PNL_ONLY, pnl=0.0, cost=1.0)
    env = env_of(market(moved({START + 2: -0.10})), mix=cost_only, policy=COSTLY)
    slipped = 2.0 + 1e4 * 0.01 * np.sqrt(150 / 1e6)
    env.step(FULL)
    assert env.step(NONE)[1] == pytest.approx(-REWARD_SCALE * (1.0 + 1.45 * slipped + MISSED))


def test_an_illiquid_name_is_penalised_as_such() -> None:
    regime_only = replace(PNL_ONLY, pnl=0.0, regime_bonus=0.1)
    data = market()
    assert env_of(data, mix=regime_only).step(FULL)[1] == pytest.approx(REWARD_SCALE * 0.1)
    data.rows["liquidity"] = 0.4
    assert env_of(data, mix=regime_only).step(FULL)[1] == pytest.approx(REWARD_SCALE * -0.35)


def test_drawdown_is_charged_from_the_peak() -> None:
    risk_only = replace(PNL_ONLY, pnl=0.0, risk=1.0)
    env = env_of(
        market(moved({START + 1: 0.02, START + 2: -0.01, START + 3: -0.01})), mix=risk_only
    )
    values = [env.step(action)[1] for action in (FULL, NONE, NONE)]
    equity = [1.02, 1.02 - 0.01, 1.02 - 0.02]
    assert values == pytest.approx([-(1.0 - e / 1.02) for e in equity], rel=1e-3)


def test_the_observation_tells_the_position() -> None:
    env = env_of(market(moved({START + 2: 0.018})))
    held, unrealised = OBSERVATION.index("held"), OBSERVATION.index("unrealised")
    seen = env.step(FULL)[0]
    assert (seen[held], seen[unrealised]) == (pytest.approx(1.0), 0.0)
    # 1.8 % is half the distance of 3.6 % to the stop; shown over 3.
    assert env.step(NONE)[0][unrealised] == pytest.approx(0.5 / 3.0, rel=1e-4)


def test_an_episode_ends_with_the_data_or_after_a_year() -> None:
    def steps(sessions: int) -> int:
        env = env_of(market(np.full(sessions, 100.0)), start=0)
        return next(n for n in range(1, sessions + 1) if env.step(NONE)[2])

    assert steps(60) == 59
    assert steps(EPISODE + 50) == EPISODE


def test_the_seed_draws_names_and_starts() -> None:
    long = 2 * EPISODE
    one = market(100.0 + np.arange(long) / 100.0)
    env = env_of(one)
    starts = {env.reset(seed=s)[1] == {} and env._t for s in range(20)}
    assert len(starts) > 10 and max(starts) <= long - EPISODE


def test_names_without_predictions_or_bars_are_not_usable() -> None:
    data = market()
    assert data.usable() == [0]
    data.rows["p_short"][29:] = np.nan
    assert data.usable() == []
    bare = market()
    bare.prices[:, 29:] = 0
    assert bare.usable() == []
