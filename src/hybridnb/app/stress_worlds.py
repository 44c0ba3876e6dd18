"""A panel as it would have been with other bars: everything that comes of prices, computed again.

ATR, volatilities, traded values, returns and the facts of the market are functions of the bars
and are computed again from the changed ones. The predictors' outputs stay those of the base: only
what was made out of fold is honest, and a model asked about bars that never were has no fold it
was held out of. The same goes for what their accuracy was, and for the news.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from hybridnb.app.context import Context
from hybridnb.app.panel import PREDICTIONS, Panel, panel
from hybridnb.domain import SCALE
from hybridnb.gates.shocks import World
from hybridnb.market.facts import facts
from hybridnb.market.features import features
from hybridnb.ports import MarketData

_PRICES = ("open", "high", "low", "close")
_KEPT = ("sentiment", *PREDICTIONS)
_KEPT_FACTS = ("ensemble_accuracy", "accuracy_baseline", "news_sentiment", "put_call_ratio")


def world_of(base: Panel) -> World:
    """The panel's bars."""
    return World(base.prices, base.present)


def stressed_panel(context: Context, base: Panel, world: World) -> Panel:
    """The base with the bars of `world`; sessions before the first changed bar stay as they are.

    Parameters
    ----------
    base : Panel
        Of the whole of `context.market`.
    world : World
        Of the panel's shape; a bar may be changed or missing, none can be new.
    """
    market = changed_market(context.market, base, world)
    found = panel(
        market,
        sessions=base.sessions,
        ordinals=base.ordinals,
        features=features(market, atr_period=context.settings.policy.stops.atr_period),
        facts=facts(market),
        predictions=_no_predictions(),
    )
    kept = {name: base.facts[name] for name in _KEPT_FACTS if name in base.facts}
    return replace(
        found,
        columns=dict(found.columns) | {name: base.columns[name] for name in _KEPT},
        facts=found.facts.assign(**kept),
        macro=base.macro,
    )


def changed_market(market: MarketData, base: Panel, world: World) -> MarketData:
    """The market with the bars of `world`; its index moves as the mean of its names does.

    A bar that didn't change keeps its very numbers, so that nothing computed of it changes.

    Raises
    ------
    ValueError
        Where a bar of `world` isn't one of the base's.
    """
    if (world.present & ~base.present).any():
        raise ValueError("a scenario may change bars or take them away, not add any")
    bars = market.bars
    place = pd.Index(base.symbols).get_indexer(pd.Index(bars["symbol"]))
    row = base.sessions.get_indexer(pd.DatetimeIndex(bars["session"]))
    differs = (world.prices != base.prices).any(axis=0)[row, place]
    changed = bars.copy()
    for k, name in enumerate((*_PRICES, "volume")):
        units = world.prices[k, row, place]
        values = np.where(units < 0, np.nan, units) if k == 4 else units / SCALE
        changed[name] = np.where(differs, values, bars[name].to_numpy(np.float64))
    changed = changed[world.present[row, place]].reset_index(drop=True)
    both = world.present & base.present & (base.prices[3] > 0)
    ratio = np.where(both, world.prices[3] / np.maximum(base.prices[3], 1), 0.0)
    count = both.sum(axis=1)
    moved = np.where(count > 0, ratio.sum(axis=1) / np.maximum(count, 1), 1.0)
    level = market.index
    factor = pd.Series(moved, index=base.sessions).reindex(level.index).fillna(1.0)
    return replace(market, bars=changed, index=level * factor)


def _no_predictions() -> pd.DataFrame:
    names = {name: pd.Series(dtype=np.float64) for name in PREDICTIONS}
    keys = {"symbol": pd.Series(dtype=str), "session": pd.Series(dtype="datetime64[ns]")}
    return pd.DataFrame({**keys, **names})
