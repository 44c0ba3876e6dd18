"""How a day, its policy and its limits are shown, and the list of all that has a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hybridnb.app import display_gates as gates
from hybridnb.app import display_records as records
from hybridnb.app.displays import Shown, pairs, share, table_of

Form = Callable[[Any], Shown]
_STEPS = ("model", "panel", "reviewed", "traded", "post_mortem")


def limits(value: Any) -> Shown:
    """Every number a decision reads, caps by bucket."""
    found: dict[str, Any] = {}
    for name, each in value._asdict().items():
        if isinstance(each, tuple):
            names = ("PENNY", "FNO", "CORE")
            found |= {f"{name} {b}": share(v) for b, v in zip(names, each[:3], strict=True)}
        else:
            found[name] = each
    return pairs("Limits", found)


def policy(value: Any) -> Shown:
    """Every number of the operator, its meaning beside it."""
    rows: list[dict[str, Any]] = []
    _keys(value, "", rows)
    return table_of(f"Policy {value.id[:16]}", rows, note=f"asked mode {value.mode}")


def _keys(value: Any, prefix: str, rows: list[dict[str, Any]]) -> None:
    for name, field in type(value).model_fields.items():
        each = getattr(value, name)
        if hasattr(type(each), "model_fields"):
            _keys(each, f"{prefix}{name}.", rows)
        else:
            known = sorted(each) if isinstance(each, frozenset) else each
            row = {"key": prefix + name, "value": known, "meaning": field.description or ""}
            rows.append(row)


def lab(value: Any) -> Shown:
    """A day as its notebooks see it."""
    context = value.context
    market = context.market
    return pairs(
        f"{market.feed}, {context.session}",
        {
            "bars": len(market.bars),
            "symbols": sorted(market.bars["symbol"].unique()),
            "first bar": f"{market.bars['session'].min():%Y-%m-%d}",
            "calendar": market.calendar,
            "currency": market.currency,
            "seed": str(context.seed),
            "profile": context.profile,
            "policy": context.settings.policy.id[:16],
            "source": market.source,
            "done already": sorted(n for n in _STEPS if n in vars(value)),
        },
        note="Each step asked of it does the steps it stands on.",
    )


FORMS: Mapping[tuple[str, str], Form] = {
    ("hybridnb.domain", "Order"): records.order,
    ("hybridnb.domain", "Fill"): records.fill,
    ("hybridnb.domain", "Position"): records.position,
    ("hybridnb.book", "Book"): records.book,
    ("hybridnb.blender", "Score"): records.score,
    ("hybridnb.limits", "Limits"): limits,
    ("hybridnb.policy", "Policy"): policy,
    ("hybridnb.gates.evidence", "Figure"): gates.figure,
    ("hybridnb.gates.evidence", "Gate"): gates.gate,
    ("hybridnb.gates.evidence", "Check"): gates.check,
    ("hybridnb.gates.planted_overfit", "Power"): gates.power,
    ("hybridnb.escalation.changes", "Change"): records.change,
    ("hybridnb.escalation.changes", "InForce"): records.in_force,
    ("hybridnb.app.gallery_decisions", "Explored"): records.explored,
    ("hybridnb.app.stressing", "Stressed"): gates.stressed,
    ("hybridnb.app.review", "Reviewed"): gates.reviewed,
    ("hybridnb.app.lab", "Lab"): lab,
    ("hybridnb.app.trading", "Traded"): records.traded,
    ("hybridnb.app.consistency", "Comparison"): records.comparison,
    ("hybridnb.app.row_differences", "Difference"): records.difference,
}
ROWS: Mapping[str, Form] = {
    "decision": records.decision,
    "order": records.order,
    "fill": records.fill,
    "verdict": gates.verdict,
}
