"""The operator's numbers: defaults of the specification, refusals that name key, value, allowed."""

from __future__ import annotations

import typing
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from hybridnb.domain import Mode
from hybridnb.errors import ParamsError
from hybridnb.policy import Params, Policy, policy_values, validated

SHIPPED = Path(__file__).resolve().parents[1] / "params" / "policy.yml"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("blend.weight_short", 0.4),
        ("blend.weight_mid", 0.3),
        ("blend.weight_rl", 0.3),
        ("blend.buy", 0.67),
        ("blend.sell", 0.33),
        ("blend.penalty_rule", "subtract"),
        ("blend.volatility_penalty", 0.15),
        ("blend.volatility_z", 2.0),
        ("blend.news_penalty", 0.10),
        ("blend.news_sentiment", -0.3),
        ("blend.liquidity_penalty", 0.05),
        ("blend.liquidity", 0.5),
        ("blend.correlation_penalty", 0.08),
        ("blend.correlation", 0.4),
        ("sizing.kelly_fraction", 0.25),
        ("sizing.payoff", 2.5 / 1.8),
        ("sizing.volatility_target", 0.20),
        ("sizing.var_limit", 0.02),
        ("sizing.es_limit", 0.03),
        ("sizing.heat_limit", 0.8),
        ("sizing.crisis_factor", 0.5),
        ("sizing.crisis_correlation", 0.8),
        ("sizing.no_rl_factor", 0.5),
        ("sizing.min_order_value", 30.0),
        ("sizing.max_leverage", 1.0),
        ("sizing.allow_short", False),
        ("sizing.confidence_threshold", 0.0),
        ("clamps.bucket_penny", 0.02),
        ("clamps.bucket_fno", 0.05),
        ("clamps.bucket_core", 0.90),
        ("clamps.name_penny", 0.004),
        ("clamps.name_fno", 0.007),
        ("clamps.name_core", 0.015),
        ("clamps.penny_adv", 200_000.0),
        ("clamps.penny_price", 0.25),
        ("stops.atr_period", 14),
        ("stops.initial", 1.8),
        ("stops.trailing", 1.2),
        ("stops.activation", 1.0),
        ("stops.target", 2.5),
        ("risk.kill_day_pnl", -0.025),
        ("risk.quarantine_kills", 3),
        ("risk.quarantine_window", 10),
        ("risk.quarantine_sessions", 7),
        ("risk.soft_halt_confirmations", 3),
        ("risk.stop_guard", (3, 5, 2)),
        ("risk.drawdown_guard", (0.05, 10, 5)),
        ("risk.cooldown_bars", 1),
        ("risk.low_profit", (5, 5)),
        ("sip.rate", 0.01),
        ("sip.min_profit", 100.0),
        ("sip.max_per_day", 1_000.0),
        ("costs.participation", 0.10),
        ("mode", Mode.DEMO),
        ("opening_cash", 1_000_000.0),
    ],
)
def test_defaults_are_the_specification(key: str, value: object) -> None:
    found: Any = Policy()
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value


def test_the_shipped_file_is_the_default_policy() -> None:
    shipped = validated(Policy, yaml.safe_load(SHIPPED.read_text(encoding="utf-8")))
    assert shipped == Policy()
    assert shipped.id == Policy().id


@pytest.mark.parametrize(
    ("values", "key", "value", "allowed"),
    [
        ({"bland": {}}, "bland", {}, "blend, clamps, costs, lists, mode, opening_cash, risk"),
        ({"stops": {"trial": 2}}, "stops.trial", 2, "activation, atr_period, initial"),
        ({"blend": {"weight_short": 1.5}}, "blend.weight_short", 1.5, "less than or equal to 1"),
        ({"blend": {"weight_short": -0.1}}, "blend.weight_short", -0.1, "greater than or equal"),
        ({"sizing": {"payoff": 0}}, "sizing.payoff", 0, "greater than 0"),
        ({"sizing": {"payoff": "much"}}, "sizing.payoff", "much", "valid number"),
        (
            {"sizing": {"max_leverage": 2.01}},
            "sizing.max_leverage",
            2.01,
            "less than or equal to 2",
        ),
        ({"stops": {"atr_period": 14.5}}, "stops.atr_period", 14.5, "valid integer"),
        ({"risk": {"kill_day_pnl": 0}}, "risk.kill_day_pnl", 0, "less than 0"),
        ({"risk": {"stop_guard": [1, 2]}}, "risk.stop_guard.2", [1, 2], "required"),
        ({"mode": "LIVE_MAXI"}, "mode", "LIVE_MAXI", "'DEMO', 'LIVE_MICRO', 'LIVE_LIMITED' or"),
        ({"opening_cash": 0}, "opening_cash", 0, "greater than 0"),
        ({"blend": {"penalty_rule": "grow"}}, "blend.penalty_rule", "grow", "'subtract' or 'shr"),
        ({"risk": {"stop_guard": [-1, 5, 2]}}, "risk.stop_guard.0", -1, "greater than or equal"),
        ({"risk": {"low_profit": [5, -5]}}, "risk.low_profit.1", -5, "greater than or equal to 0"),
        ({"risk": {"drawdown_guard": [1.5, 1, 1]}}, "risk.drawdown_guard.0", 1.5, "less than or"),
    ],
)
def test_a_refusal_names_key_value_and_what_is_allowed(
    values: object, key: str, value: object, allowed: str
) -> None:
    with pytest.raises(ParamsError) as caught:
        validated(Policy, values, file="policy.yml")
    error = caught.value
    assert (error.key, error.value, error.file) == (key, value, "policy.yml")
    assert allowed in error.allowed
    assert str(error).startswith(f"policy.yml: {key} = {value!r}")
    assert error.exit_code == 2


class Shelf(Params):
    """Policies by free names, as the files of profiles and symbols hold them."""

    policies: dict[str, Policy]


def test_a_refusal_below_a_free_name_says_what_is_allowed_there() -> None:
    with pytest.raises(ParamsError) as caught:
        validated(Shelf, {"policies": {"mine": {"stops": {"trial": 2}}}})
    assert caught.value.key == "policies.mine.stops.trial"
    assert caught.value.allowed.startswith("allowed keys: activation, atr_period, initial")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_no_number_of_the_policy_may_be_nan_or_infinite(bad: float) -> None:
    numbers = 0
    for section, key, kind in _leaves():
        if kind is float:
            numbers += 1
            values = {section: {key: bad}} if section else {key: bad}
            with pytest.raises(ParamsError) as caught:
                validated(Policy, values)
            assert caught.value.key == (f"{section}.{key}" if section else key)
    assert numbers > 45
    with pytest.raises(ParamsError, match=r"risk\.drawdown_guard\.0"):
        validated(Policy, {"risk": {"drawdown_guard": [bad, 10, 5]}})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"blend": {"buy": 0.5}}, "sell < 0.5 < buy"),
        ({"blend": {"sell": 0.5}}, "sell < 0.5 < buy"),
        ({"blend": {"weight_short": 0, "weight_mid": 0}}, "weight_short + weight_mid > 0"),
        ({"clamps": {"bucket_core": 0.94}}, "at most 1"),
    ],
)
def test_numbers_that_only_contradict_each_other(values: object, says: str) -> None:
    with pytest.raises(ParamsError) as caught:
        validated(Policy, values)
    assert says in caught.value.allowed


@pytest.mark.parametrize("values", [[1], "text", 7])
def test_what_is_no_mapping_is_refused(values: object) -> None:
    with pytest.raises(ParamsError, match="Policy"):
        validated(Policy, values)


def test_an_empty_file_is_the_default_policy() -> None:
    assert validated(Policy, None) == validated(Policy, {}) == Policy()


def test_a_policy_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Policy().blend.buy = 0.5  # type: ignore[misc]


def test_the_id_is_that_of_the_values_and_no_more() -> None:
    policy = Policy()
    assert policy.id == Policy().id
    assert len(policy.id) == 64
    one = validated(Policy, {"lists": {"core": ["A", "B", "C"]}})
    other = validated(Policy, {"lists": {"core": ["C", "A", "B"]}})
    assert one.id == other.id != policy.id
    assert policy_values(one)["lists"]["core"] == ["A", "B", "C"]
    assert validated(Policy, policy_values(one)).id == one.id


def test_a_change_of_any_field_is_another_policy() -> None:
    ids = [Policy().id]
    for section, key, kind in _leaves():
        at = getattr(Policy(), section) if section else Policy()
        value = _another(key, kind, getattr(at, key))
        ids.append(validated(Policy, {section: {key: value}} if section else {key: value}).id)
    assert len(ids) == len(set(ids)) > 60


def _leaves() -> list[tuple[str, str, Any]]:
    """Every number of the policy: section ("" for the policy itself), key, bare type."""
    found = []
    for name, field in Policy.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Params):
            found += [(name, k, _bare(f.annotation)) for k, f in _fields(field.annotation)]
        else:
            found.append(("", name, _bare(field.annotation)))
    return found


def _fields(model: type[BaseModel]) -> list[tuple[str, Any]]:
    return list(model.model_fields.items())


def _bare(annotation: Any) -> Any:
    args = typing.get_args(annotation)
    return args[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def _another(key: str, kind: Any, value: Any) -> Any:
    """A value near the present one that the field allows."""
    if typing.get_origin(kind) is typing.Literal:
        return next(word for word in typing.get_args(kind) if word != value)
    if isinstance(value, Enum):
        return Mode.LIVE
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "X"
    if isinstance(value, frozenset):
        return ["X"]
    if isinstance(value, tuple):
        return [value[0], *[v + 1 for v in value[1:]]]
    if isinstance(value, int):
        return value + 1
    if key == "buy":
        return 0.7
    return value / 2 if value else 0.5
