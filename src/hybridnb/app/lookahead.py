"""`hybridnb lookahead`: do features need the future? The product's own, or those of a file."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.progress import Say
from hybridnb.domain import Status
from hybridnb.errors import UsageError
from hybridnb.gates.lookahead import Audit, Feature, audit
from hybridnb.gates.recompute import KEYS, Function
from hybridnb.market import calendar
from hybridnb.market.features import FEATURES, INPUTS, SPECS, features

DEFAULT = "features"  # the function of a file that names none
MODULE = "audited_features"  # what a stranger's file is called while it is loaded
WORDS = {Status.INSUFFICIENT_EVIDENCE: "not enough evidence"}
TRADED = ("adv", "median_value")  # inputs that a feed without volume can't have


@dataclass(frozen=True, slots=True)
class Audited:
    """What is audited: a name for people, the function, its joined features, what is left out."""

    name: str
    function: Function
    joined: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def audit_lookahead(request: Request, target: str, *, cuts: int, say: Say) -> dict[str, Any]:
    """Audit the feed's own features, or those of a Python file, on the feed's bars.

    Parameters
    ----------
    target : str
        Empty for the product's own features; else `FILE` or `FILE:FUNCTION`, a function of bars
        (`features` where none is named). The file may say in `JOINED` which of its features come
        from other tables: each needs a column `<feature>_available_at`, or `available_at`.
    cuts : int
        Places at which the data is cut; fewer than 50 are never enough evidence.

    Returns
    -------
    dict
        status (PASS, FAIL or "not enough evidence"), target, feed, symbols, sessions, seed, cuts
        (count, first, last), features (one dict each), left_out.

    Raises
    ------
    UsageError
        For a file or a function that isn't there, can't be loaded, raises, isn't deterministic
        or returns something else than a row of numbers for every bar.
    """
    if cuts < 1:
        raise UsageError(f"--cuts is at least 1, not {cuts}")
    context = open_day(request)
    market = context.market
    # What a stranger's code prints must not stand in the command's result.
    with redirect_stdout(sys.stderr), _audited(context, target) as audited:
        say(f"{audited.name} on {market.feed}: {cuts} cuts, computed again twice at each")
        found = audit(
            audited.function,
            market.bars,
            seed=context.seed,
            cuts=cuts,
            joined=audited.joined,
            decided=lambda session: calendar.closes_at(market.calendar, session),
            say=say,
        )
    return _figures(context, audited, found)


@contextmanager
def _audited(context: Context, target: str) -> Iterator[Audited]:
    if not target:
        yield _own(context)
        return
    path, function = _split(target)
    with _loaded(path) as module:
        yield Audited(
            f"{path.name}:{function}", _function(module, path, function), _joined(module, path)
        )


def _own(context: Context) -> Audited:
    """The product's features and inputs; without volume those that need it aren't there."""
    market, period = context.market, context.settings.policy.stops.atr_period
    silent = bool(market.bars["volume"].isna().all())
    left_out = (*(s.name for s in SPECS if s.needs_volume), *TRADED) if silent else ()
    wanted = [name for name in (*FEATURES, *INPUTS) if name not in left_out]

    def compute(bars: pd.DataFrame) -> pd.DataFrame:
        return features(replace(market, bars=bars), atr_period=period)[[*KEYS, *wanted]]

    return Audited("the product's features", compute, left_out=left_out)


def _split(target: str) -> tuple[Path, str]:
    head, colon, tail = target.rpartition(":")
    named = bool(colon) and tail.isidentifier()
    path = Path(head if named else target)
    if not path.is_file():
        raise UsageError(
            f"there is no file {path}", remedy="Give FILE.py or FILE.py:FUNCTION, from here."
        )
    return path, tail if named else DEFAULT


@contextmanager
def _loaded(path: Path) -> Iterator[Any]:
    """The file as a module; its folder is where its own imports are found meanwhile."""
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path.name} is no Python file", remedy="Its name ends with .py.")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.modules[MODULE] = module
    sys.path.insert(0, folder)
    try:
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"{path.name} can't be loaded: {type(error).__name__}: {error}",
                remedy="It must be importable: `python FILE.py` runs without an error.",
            ) from error
        yield module
    finally:
        sys.path.remove(folder)
        del sys.modules[MODULE]


def _function(module: Any, path: Path, name: str) -> Function:
    found = getattr(module, name, None)
    if not callable(found):
        known = sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        raise UsageError(
            f"{path.name} has no function {name}",
            remedy=f"Name one: {path.name}:FUNCTION; it has {', '.join(known) or 'none'}.",
        )
    function: Function = found
    return function


def _joined(module: Any, path: Path) -> tuple[str, ...]:
    found = getattr(module, "JOINED", ())
    names = isinstance(found, Sequence) and not isinstance(found, str)
    if not names or any(not isinstance(n, str) for n in found):
        raise UsageError(f"{path.name}: JOINED is a list of feature names, not {found!r}")
    return tuple(found)


def _figures(context: Context, audited: Audited, found: Audit) -> dict[str, Any]:
    bars = context.market.bars
    return {
        "status": _word(found.status),
        "target": audited.name,
        "feed": context.market.feed,
        "symbols": int(bars["symbol"].nunique()),
        "sessions": int(bars["session"].nunique()),
        "seed": context.seed,
        "cuts": {
            "count": len(found.cuts),
            "first": f"{found.cuts[0]:%Y-%m-%d}" if found.cuts else "",
            "last": f"{found.cuts[-1]:%Y-%m-%d}" if found.cuts else "",
        },
        "features": [_row(feature) for feature in found.features],
        "left_out": list(audited.left_out),
    }


def _word(status: Status) -> str:
    return WORDS.get(status, str(status))


def _row(feature: Feature) -> dict[str, Any]:
    def finite(value: float | None) -> float | None:
        return value if value is not None and math.isfinite(value) else None

    return {
        "feature": feature.name,
        "status": _word(feature.status),
        "detail": feature.detail,
        "cuts": feature.n,
        "wrong": feature.wrong,
        "first_cut": feature.cut,
        "symbol": feature.symbol,
        "session": feature.session,
        "value_on_the_whole": finite(feature.whole),
        "value_without_future": finite(feature.again),
        "difference": finite(feature.difference),
    }


def lookahead_text(done: dict[str, Any]) -> str:
    """The audit as a table: a line a feature, then what it comes to."""
    rows = done["features"]
    width = max(len(row["feature"]) for row in rows)
    cuts = done["cuts"]
    spread = f"{cuts['count']} cuts from {cuts['first']} to {cuts['last']}" if cuts["count"] else ""
    lines = [
        f"{done['target']} on {done['feed']}: {done['sessions']:,} sessions of"
        f" {done['symbols']} symbols, {spread or 'no place to cut'}",
        "",
        *(f"{row['feature']:<{width}}  {row['status']:<19}  {row['detail']}" for row in rows),
        "",
    ]
    if done["left_out"]:
        lines.append(f"left out, as the feed has no volume: {', '.join(done['left_out'])}")
    count = {word: sum(row["status"] == word for row in rows) for word in _order(rows)}
    lines.append(f"{done['status']}: " + ", ".join(f"{n} {word}" for word, n in count.items()))
    return "\n".join(lines)


def _order(rows: Sequence[dict[str, Any]]) -> list[str]:
    words = [_word(s) for s in (Status.FAIL, Status.INSUFFICIENT_EVIDENCE, Status.PASS)]
    return [word for word in words if any(row["status"] == word for row in rows)]
