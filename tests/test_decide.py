"""The decision: known answers end to end, the two forms agree, and the order of sizing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.decide import DECISION, INPUT, decide, decide_one
from hybridnb.domain import Bound, Bucket, Mode, Refusal
from hybridnb.entries import Account
from hybridnb.limits import CODE, limits
from hybridnb.policy import Policy, validated
from hybridnb.reasons import reasons
from hybridnb.totals import context_of, grow, totals_of

NAN = float("nan")
LIM = limits(Policy(), Mode.DEMO)
SHORTS = limits(validated(Policy, {"sizing": {"allow_short": True}}), Mode.DEMO)
ACCOUNT = Account(equity=1_000_000.0, margin_available=1.0, crisis=False)
BOUNDS = list(Bound)
CALM = {
    **{"p_short": 0.8, "p_mid": 0.8, "rl": 0.8, "volatility_z": 0.0, "sentiment": 0.0},
    **{"liquidity": 1.0, "correlation": 0.5, "correlation_floor": 0.3, "price": 100.0},
    **{"atr": 1.0, "annual_volatility": 0.2, "win_long": 0.9, "win_short": 0.9, "held": 0.0},
    **{"risk": 0.0, "margin_rate": 0.0, "posture": 1.0, "bucket": CODE[Bucket.CORE], "refused": 0},
}
# A book of core names at their caps moves far less than any tail limit.
QUIET = 1e-4


def universe(*changes: dict[str, Any]) -> np.ndarray:
    rows = np.zeros(len(changes), INPUT)
    for row, change in zip(rows, changes, strict=True):
        for name, value in (CALM | change).items():
            row[name] = value
    return rows


def history(n: int, seed: int = 1, scale: float = QUIET) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, scale, (252, n))


def one(lim: Any = LIM, account: Account = ACCOUNT, **change: Any) -> Any:
    return decide(lim, account, universe(change), history(1))[0]


def refusals(dec: Any) -> Refusal:
    return Refusal(int(dec["refused"]))


def test_a_core_name_at_point_eight() -> None:
    dec = one(win_long=1.0, atr=1e-9)
    assert dec["score"] == pytest.approx(0.80, abs=1e-15)
    assert dec["size_pre"] == pytest.approx(0.54, abs=1e-15)
    assert dec["size_post_risk"] == pytest.approx(0.015, abs=1e-9)
    assert BOUNDS[dec["bound"]] is Bound.NAME
    assert dec["refused"] == 0


def test_the_same_in_a_crisis_at_forty_percent_volatility() -> None:
    crisis = ACCOUNT._replace(crisis=True)
    dec = one(account=crisis, win_long=1.0, atr=1e-9, annual_volatility=0.4)
    assert dec["size_post_risk"] == pytest.approx(0.00375, abs=1e-9)
    assert (dec["m_volatility"], dec["m_crisis"]) == (0.5, 0.5)


def test_quarter_kelly_binds() -> None:
    dec = one(win_long=0.45, atr=1e-9)
    assert dec["quarter_kelly"] == pytest.approx(0.0135, abs=1e-15)
    assert dec["size_post_risk"] == pytest.approx(0.0135, abs=1e-9)
    assert BOUNDS[dec["bound"]] is Bound.KELLY


@pytest.mark.parametrize("win", [0.40, 1 - 2.5 / 4.3, NAN, 0.0])
def test_no_edge_is_no_entry(win: float) -> None:
    dec = one(win_long=win)
    assert dec["size_post_risk"] == 0.0
    assert Refusal.KELLY in refusals(dec)
    assert BOUNDS[dec["bound"]] is Bound.REFUSED


def test_heat_counts_the_order_itself() -> None:
    """1.5 % of equity, stop 1.8 % away: risk 0.027 % of equity, of a limit of 2.5 %."""
    dec = one()
    assert dec["heat"] == pytest.approx(0.015 * 1.8 * 0.01 / 0.025, rel=1e-12)
    assert dec["m_heat"] == pytest.approx(1 - dec["heat"] / 0.8, rel=1e-12)
    assert dec["size_post_risk"] == pytest.approx(0.015 * dec["m_heat"], rel=1e-12)


def test_the_tail_is_that_of_the_book_with_the_order() -> None:
    rows = universe({"p_short": 0.5, "p_mid": 0.5, "rl": 0.5, "held": 0.5}, {})
    returns = history(2, scale=0.05)
    dec = decide(LIM, ACCOUNT, rows, returns)[1]
    book = 0.5 * returns[:, 0] + 0.015 * returns[:, 1]
    worst = np.sort(book)[:13]
    assert dec["var"] == pytest.approx(-worst[12], rel=1e-12)
    assert dec["es"] == pytest.approx(-worst.mean(), rel=1e-12)
    assert dec["m_var"] == pytest.approx(min(1.0, 0.02 / dec["var"]), rel=1e-12)
    assert dec["m_es"] == pytest.approx(min(1.0, 0.03 / dec["es"]), rel=1e-12)
    assert dec["m_var"] < 1.0


def test_without_the_hint_the_size_is_half() -> None:
    with_hint, without = one(), one(rl=NAN)
    assert without["m_posture"] == 0.5
    assert without["size_post_risk"] == pytest.approx(with_hint["size_post_risk"] / 2, rel=1e-12)


def test_hold_keeps_what_is_held() -> None:
    for held in (0.0, 0.01, -0.01):
        dec = one(p_short=0.5, p_mid=0.5, rl=0.5, held=held, refused=int(Refusal.KILL_SWITCH))
        assert (dec["action"], dec["size_pre"]) == (0, 0.0)
        assert dec["size_post_risk"] == held


def test_both_predictors_missing_is_hold_with_a_reason() -> None:
    dec = one(p_short=NAN, p_mid=NAN, held=0.01)
    assert (dec["action"], dec["size_post_risk"]) == (0, 0.01)
    assert refusals(dec) == Refusal.NO_PREDICTION


def test_sell_closes_the_whole_long_and_opens_nothing() -> None:
    for lim in (LIM, SHORTS):
        dec = one(lim, p_short=0.1, p_mid=0.1, rl=0.1, held=0.012)
        assert (dec["action"], dec["size_post_risk"], dec["refused"]) == (-1, 0.0, 0)


def test_an_exit_is_never_refused() -> None:
    everything = sum(int(r) for r in Refusal)
    dec = one(p_short=0.1, p_mid=0.1, rl=0.1, held=0.012, refused=everything, price=NAN)
    assert (dec["action"], dec["size_post_risk"], dec["refused"]) == (-1, 0.0, 0)


def test_sell_opens_a_short_only_where_allowed() -> None:
    down = {"p_short": 0.2, "p_mid": 0.2, "rl": 0.2}
    dec = one(**down)
    assert dec["size_post_risk"] == 0.0
    assert refusals(dec) == Refusal.NO_SHORTS
    dec = one(SHORTS, **down)
    assert -0.015 <= dec["size_post_risk"] < -0.014
    assert dec["refused"] == 0
    assert Refusal.KELLY in refusals(one(SHORTS, **down, win_short=0.4))
    assert one(SHORTS, **down, win_long=0.4)["refused"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price", NAN),
        ("price", 0.0),
        ("price", -1.0),
        ("price", float("inf")),
        ("atr", NAN),
        ("atr", 0.0),
        ("atr", float("inf")),
        ("annual_volatility", NAN),
        ("annual_volatility", -0.1),
        ("annual_volatility", float("inf")),
    ],
)
def test_an_entry_needs_finite_facts(field: str, value: float) -> None:
    dec = one(**{field: value})
    assert dec["size_post_risk"] == 0.0
    assert Refusal.NOT_FINITE in refusals(dec)


def test_an_entry_needs_a_history() -> None:
    dec = decide(LIM, ACCOUNT, universe({}), history(1)[:59])[0]
    assert dec["size_post_risk"] == 0.0
    assert Refusal.TAIL_UNKNOWN in refusals(dec)


def test_a_confidence_threshold_refuses_entries_only() -> None:
    strict = LIM._replace(confidence_threshold=0.81)
    dec = one(strict)
    assert dec["confidence"] == pytest.approx(0.8)
    assert (dec["action"], dec["size_post_risk"]) == (1, 0.0)
    assert refusals(dec) == Refusal.LOW_CONFIDENCE
    assert one(LIM._replace(confidence_threshold=0.79))["refused"] == 0
    closing = one(strict, p_short=0.2, p_mid=0.2, rl=0.2, held=0.01)
    assert (closing["size_post_risk"], closing["refused"]) == (0.0, 0)


def test_below_thirty_account_units_it_is_no_order() -> None:
    small = one(account=ACCOUNT._replace(equity=2_000.0), atr=1e-9)
    assert small["size_post_risk"] == 0.0
    assert refusals(small) == Refusal.BELOW_MINIMUM
    assert one(account=ACCOUNT._replace(equity=2_000.1), atr=1e-9)["size_post_risk"] > 0.0


def test_margin_shrinks_an_fno_entry_then_refuses_it() -> None:
    fno = {"bucket": CODE[Bucket.FNO], "margin_rate": 0.5, "atr": 1e-9}
    assert one(**fno)["size_post_risk"] == pytest.approx(0.007, abs=1e-9)
    dec = one(account=ACCOUNT._replace(margin_available=0.001), **fno)
    assert dec["size_post_risk"] == pytest.approx(0.002, abs=1e-15)
    assert BOUNDS[dec["bound"]] is Bound.MARGIN
    dec = one(account=ACCOUNT._replace(margin_available=0.0), **fno)
    assert dec["size_post_risk"] == 0.0
    assert Refusal.MARGIN in refusals(dec)
    core = fno | {"bucket": CODE[Bucket.CORE]}
    assert one(account=ACCOUNT._replace(margin_available=0.0), **core)["refused"] == 0


def test_an_unknown_equity_or_margin_is_no_entry() -> None:
    dec = one(account=ACCOUNT._replace(equity=NAN))
    assert dec["size_post_risk"] == 0.0
    assert dec["refused"] != 0
    fno = {"bucket": CODE[Bucket.FNO], "margin_rate": 0.5}
    for dec in (
        one(account=ACCOUNT._replace(margin_available=NAN), **fno),
        one(**(fno | {"margin_rate": NAN})),
    ):
        assert dec["size_post_risk"] == 0.0
        assert Refusal.MARGIN in refusals(dec)


def test_names_are_sized_by_conviction_then_symbol() -> None:
    views = (0.7, 0.9, 0.2, 0.9, NAN, 0.5)
    rows = universe(*({"p_short": p, "p_mid": p, "rl": p} for p in views))
    out = decide(LIM, ACCOUNT, rows, history(6))
    assert list(out["rank"]) == [3, 0, 2, 1, -1, -1]


def test_room_in_a_bucket_goes_to_the_first() -> None:
    """Penny: 2 % of equity, 0.4 % a name, so that five of seven names have room."""
    tight = {"bucket": CODE[Bucket.PENNY], "atr": 1e-12}
    views = (0.70, 0.72, 0.74, 0.76, 0.78, 0.80, 0.82)
    rows = universe(*(tight | {"p_short": p, "p_mid": p, "rl": p} for p in views))
    out = decide(LIM, ACCOUNT, rows, history(7))
    assert out["size_post_risk"][2:] == pytest.approx(0.004, abs=1e-12)
    assert out["size_post_risk"][:2].sum() <= 1e-9
    assert all(refusals(dec) & (Refusal.NO_ROOM | Refusal.BELOW_MINIMUM) for dec in out[:2])
    assert out["headroom"][[6, 5, 4]] == pytest.approx([0.02, 0.016, 0.012], abs=1e-9)


def test_what_is_held_takes_room_and_heat() -> None:
    other = {"p_short": 0.5, "p_mid": 0.5, "rl": 0.5, "held": -0.895, "risk": 0.004}
    out = decide(LIM, ACCOUNT, universe(other, {}), history(2))
    assert out["headroom"][1] == pytest.approx(0.005, abs=1e-15)
    assert out["capped"][1] == pytest.approx(0.005, abs=1e-15)
    assert BOUNDS[out["bound"][1]] is Bound.BUCKET
    assert out["heat"][1] == pytest.approx((0.004 + 0.005 * 0.018) / 0.025, rel=1e-12)


def test_the_risk_already_open_in_the_name_counts() -> None:
    dec = one(held=0.01, risk=0.005)
    assert dec["heat"] == pytest.approx(0.005 / 0.025, rel=1e-12)


def test_leverage_room_binds_across_buckets() -> None:
    hold = {"p_short": 0.5, "p_mid": 0.5, "rl": 0.5}
    held = ({"held": 0.9}, {"held": 0.09, "bucket": CODE[Bucket.FNO]})
    rows = universe(*(hold | h for h in held), {"bucket": CODE[Bucket.PENNY]})
    rows["bucket"][0] = CODE[Bucket.CORE]
    dec = decide(LIM._replace(max_leverage=0.992), ACCOUNT, rows, history(3))[2]
    assert dec["capped"] == pytest.approx(0.002, abs=1e-15)
    assert BOUNDS[dec["bound"]] is Bound.LEVERAGE


@pytest.mark.parametrize(
    ("change", "tags"),
    [
        ({}, "short_bullish mid_bullish rl_bullish news_not_negative vol_normal"),
        ({"p_short": 0.1}, "short_bearish"),
        ({"p_mid": 0.5}, "mid_neutral"),
        ({"rl": NAN}, "rl_missing"),
        ({"sentiment": 0.31}, "news_positive"),
        ({"sentiment": 0.3}, "news_not_negative"),
        ({"sentiment": -0.31}, "news_negative"),
        ({"sentiment": NAN}, "news_unknown"),
        ({"volatility_z": 2.1}, "vol_spike"),
        ({"liquidity": NAN}, "liquidity_unknown"),
        ({"liquidity": 0.4}, "liquidity_low"),
        ({"correlation": 0.2}, "correlation_breakdown"),
        ({"win_long": 0.1}, "kelly"),
        ({"refused": int(Refusal.STALE_DATA | Refusal.LOCKED)}, "stale_data locked"),
    ],
)
def test_reasons(change: dict[str, Any], tags: str) -> None:
    rows = universe(change)
    found = reasons(LIM, rows[0], decide(LIM, ACCOUNT, rows, history(1))[0])
    assert set(tags.split()) <= set(found)
    assert len(found) == len(set(found))


ODD = (NAN, float("inf"), -float("inf"), 0.0, -0.0, 5e-324, -1e-310, 1e308, 1.0, 0.5)
VIEWS = ("p_short", "p_mid", "rl", "win_long", "win_short")
FACTS = ("volatility_z", "sentiment", "liquidity", "correlation", "correlation_floor")
FACTS += ("annual_volatility", "posture", "price", "atr")


def any_rows(n: int, seed: int, oddity: float) -> np.ndarray:
    """Rows anywhere in their ranges, a share of the facts no number anyone would expect."""
    rng = np.random.default_rng(seed)
    rows = universe(*({} for _ in range(n)))
    for name in VIEWS:
        rows[name] = rng.choice([0.0, 0.5, 1.0, NAN, *rng.random(12)], n)
    for name in FACTS:
        plausible = rng.lognormal(-1.0, 1.0, n) * rng.choice([1, 1, 1, -1], n)
        rows[name] = np.where(rng.random(n) < oddity, rng.choice(ODD, n), plausible)
    rows["margin_rate"] = rng.random(n)
    rows["held"] = rng.choice([0.0, 0.0, 0.01, -0.01, 0.3], n) * rng.random(n)
    rows["risk"] = np.abs(rows["held"]) * rng.random(n)
    rows["bucket"] = rng.integers(0, 5, n)
    rows["refused"] = rng.choice([0, 0, 0, 1 << 5, 1 << 25], n)
    return rows


ROWS = st.builds(
    any_rows, st.integers(1, 6), st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 0.6])
)
ACCOUNTS = st.builds(
    Account, st.floats(0, 1e7), st.one_of(st.just(NAN), st.floats(-1, 1)), st.booleans()
)


@given(ROWS, ACCOUNTS, st.booleans(), st.integers(0, 9))
def test_the_array_form_is_the_scalar_form_row_by_row(
    rows: np.ndarray, account: Account, shorts: bool, seed: int
) -> None:
    """Each name in its turn, with the book that the names before it left."""
    lim = SHORTS if shorts else LIM
    returns = history(len(rows), seed, 0.02)
    with np.errstate(all="ignore"):
        out = decide(lim, account, rows, returns)
        held, risk = rows["held"].copy(), rows["risk"].copy()
        totals = totals_of(rows, held, risk, returns.T, (0, len(returns)))
        for i in np.argsort(out["rank"]):
            context = context_of(totals, rows[i], held[i], risk[i])
            dec = decide_one(lim, account, rows[i], context, returns[:, i])
            for name in DECISION.names or ():
                if name != "rank":
                    assert dec[name].tobytes() == out[i][name].tobytes(), name
            target = float(dec["size_post_risk"])
            if abs(target) > abs(held[i]):
                own = abs(target) * lim.stop_atr * rows["atr"][i] / rows["price"][i]
                own = max(risk[i], own)
                grow(totals, rows[i], returns[:, i], target - held[i], own - risk[i])
                held[i], risk[i] = target, own


@given(ROWS, st.integers(0, 9), st.randoms())
def test_another_order_of_rows_decides_the_same(rows: np.ndarray, seed: int, random: Any) -> None:
    """With convictions that all differ, the order of the rows means nothing but rounding."""
    for name in ("volatility_z", "sentiment", "correlation_floor"):
        rows[name] = 0.0
    rows["liquidity"] = 1.0
    views = 0.5 + 0.48 * np.linspace(1.0, 0.3, len(rows)) * np.where(rows["bucket"] % 2, 1, -1)
    for name in ("p_short", "p_mid", "rl"):
        rows[name] = views
    order = list(range(len(rows)))
    random.shuffle(order)
    returns = history(len(rows), seed, 0.02)
    with np.errstate(all="ignore"):
        straight = decide(LIM, ACCOUNT, rows, returns)
        mixed = decide(LIM, ACCOUNT, rows[order], returns[:, order])
    for name in ("action", "refused", "rank"):
        assert list(mixed[name]) == list(straight[name][order])
    for name in ("score", "size_pre", "capped", "size_post_risk"):
        assert mixed[name] == pytest.approx(straight[name][order], rel=1e-9, abs=1e-12, nan_ok=True)


@given(ROWS, st.integers(0, 9))
def test_the_inputs_are_left_as_they_were(rows: np.ndarray, seed: int) -> None:
    returns = history(len(rows), seed)
    before = rows.tobytes(), returns.tobytes()
    with np.errstate(all="ignore"):
        first = decide(LIM, ACCOUNT, rows, returns)
        assert decide(LIM, ACCOUNT, rows, returns).tobytes() == first.tobytes()
    assert (rows.tobytes(), returns.tobytes()) == before


def test_an_empty_universe_decides_nothing() -> None:
    assert len(decide(LIM, ACCOUNT, universe(), np.zeros((252, 0)))) == 0
