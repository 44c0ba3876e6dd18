"""How the evidence and its verdicts are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridnb.app.displays import Shown, pairs, plain_fields, table_of

_STATES = {True: "holds", False: "missed", None: "not enough evidence"}
_REACHED = {True: "reached", False: "missed", None: "shown only"}


def figure(value: Any) -> Shown:
    """One figure beside its threshold."""
    return pairs(value.name, _figure(plain_fields(value)))


def _figure(found: Mapping[str, Any]) -> dict[str, Any]:
    bar = "" if found["threshold"] is None else f"{found['comparison']} {found['threshold']:g}"
    return {
        "value": found["value"],
        "threshold": bar,
        "n": found["n"],
        "state": _STATES[found["passed"]],
        "of": found["source"],
    }


def gate(value: Any) -> Shown:
    """A gate with every figure behind it."""
    rows = [{"figure": f.name, **_figure(plain_fields(f))} for f in value.figures]
    return table_of(f"{value.name}: {_words(value.status)}", rows, note=value.reason)


def check(value: Any) -> Shown:
    """A finding about leakage, stress or drift."""
    return pairs(
        f"{value.name}: {_words(value.status)}",
        {"value": value.value, "threshold": value.threshold, "n": value.n, "why": value.detail},
    )


def verdict(found: Mapping[str, Any]) -> Shown:
    """A verdict: its gates, each with the figures behind it."""
    rows = [
        {
            "gate": each["name"],
            "status": _words(each["status"]),
            "figure": one["name"],
            **_figure(one),
        }
        for each in found["gates"]
        for one in each["figures"]
    ]
    return table_of(
        f"Verdict of {found['session']}: {_words(found['status'])}",
        rows,
        note=f"model {found['model_version']}, valid to session {found['valid_until']}",
    )


def reviewed(value: Any) -> Shown:
    """A gate review: the verdict, and the backtest behind it."""
    from hybridnb.app.figures import equity_curve

    found = verdict(value.verdict)
    curve = equity_curve(value.backtest.equity, title="Backtest").svg
    return Shown(found.title, found.head, found.rows, found.note, (curve,))


def power(value: Any) -> Shown:
    """How often a detector saw what was planted."""
    return pairs(
        f"{value.detector}: {value.plant}",
        {
            "alarms": f"{value.caught:,} of {value.tried:,}",
            "share": value.share,
            "95 % interval": f"{value.low:.3f} to {value.high:.3f}",
            "mean figure": value.mean,
            "to reach": value.bar,
            "state": _REACHED[value.reached],
        },
    )


def stressed(value: Any) -> Shown:
    """The stress scenarios with their curves."""
    from hybridnb.app.stress_figures import stress_curves

    rows = [
        {
            "scenario": c.name,
            "verdict": _words(c.status),
            "value": c.value,
            "bar": c.threshold,
            "why": c.detail,
        }
        for c in value.checks
    ]
    passed = sum(c.status == "PASS" for c in value.checks)
    found = table_of(f"{passed} of {len(value.checks)} stress scenarios pass", rows)
    return Shown(found.title, found.head, found.rows, found.note, (stress_curves(value).svg,))


def _words(status: Any) -> str:
    return str(status).replace("_", " ")
