"""Reason tags: a decision in words that a table can count."""

from __future__ import annotations

from typing import Any

from hybridnb.domain import refusal_names
from hybridnb.limits import Limits


def reasons(lim: Limits, row: Any, dec: Any) -> tuple[str, ...]:
    """Reason tags of a decision: a view a term, a state a penalty, the bound, the refusals."""
    tags = [
        *_view("short", row["p_short"]),
        *_view("mid", row["p_mid"]),
        *_view("rl", row["rl"]),
        _state("news", row["sentiment"], dec["news"], ("negative", "not_negative")),
        _state("vol", row["volatility_z"], dec["volatility"], ("spike", "normal")),
        _state("liquidity", row["liquidity"], dec["illiquid"], ("low", "normal")),
        _state("correlation", row["correlation"], dec["decorrelated"], ("breakdown", "normal")),
    ]
    if row["sentiment"] > -lim.news_sentiment:
        tags[tags.index("news_not_negative")] = "news_positive"
    refused = int(dec["refused"])
    return (*tags, *(name.lower() for name in (refusal_names(refused) if refused else ())))


def _view(name: str, p: float) -> list[str]:
    if p != p:
        return [f"{name}_missing"]
    return [f"{name}_bullish" if p > 0.5 else f"{name}_bearish" if p < 0.5 else f"{name}_neutral"]


def _state(name: str, value: float, charged: float, words: tuple[str, str]) -> str:
    if value != value:
        return f"{name}_unknown"
    return f"{name}_{words[0] if charged > 0.0 else words[1]}"
