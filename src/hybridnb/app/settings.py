"""`params/`: what analysts and operators set, validated before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from hybridnb.app.escalation_params import EscalationParams
from hybridnb.canonical import plain, sha256
from hybridnb.errors import Missing, ParamsError
from hybridnb.learning.params import LearningParams
from hybridnb.market.instruments import SymbolParams
from hybridnb.policy import Params, Policy, policy_values, validated

ESCALATION = "escalation.yml"


class DayParams(Params):
    """`params/day.yml`: the main job."""

    feed: str = Field("sample", description="a feed's name")
    data: str = Field("", description="file or folder of the `folder` feed")
    calendar: str = Field("", description="exchange calendar of the `folder` feed, empty: guessed")
    zone: str = Field("", description="time zone of times without one, empty: refused")
    currency: str = Field("", description="currency of the `folder` feed, empty: the calendar's")
    facts: str = Field("", description="file of other facts, from this folder; empty: none")
    seed: int = Field(7, ge=0, le=2**31 - 1, description="of every random choice")
    profile: str = Field("quick", description="training profile in learning.yml")
    retrain_every: int = Field(5, ge=1, le=252, description="sessions a trained model serves")
    holdout: float = Field(0.4, gt=0, lt=1, description="last share of predictions, backtested")
    drift_blocks_training: bool = Field(True, description="no training across a critical drift")
    notebook_timeout: int = Field(1800, ge=10, description="seconds a notebook may take")
    cell_timeout: int = Field(1200, ge=5, description="seconds a cell may take")
    notebook_memory: int = Field(8192, ge=64, description="MiB a notebook's processes may hold")


class Profiles(Params):
    """`params/learning.yml`: named training profiles."""

    profiles: dict[str, LearningParams] = Field(default_factory=dict)


class Symbols(Params):
    """`params/symbols.yml`: what a feed can't tell of its symbols."""

    symbols: dict[str, SymbolParams] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """All of `params/`, validated."""

    policy: Policy
    day: DayParams
    profiles: Profiles
    symbols: Symbols
    escalation: EscalationParams = field(default_factory=EscalationParams)

    def learning(self, profile: str) -> LearningParams:
        """A training profile by name.

        Raises
        ------
        ParamsError
            When there is none of that name.
        """
        known = self.profiles.profiles
        if profile not in known:
            allowed = f"allowed: {', '.join(sorted(known))}"
            raise ParamsError("profile", profile, allowed, file="learning.yml")
        return known[profile]

    def inputs(self, profile: str, seed: int) -> dict[str, str]:
        """Digests of what makes two runs of a session comparable, by the name a person knows."""
        learning = self.learning(profile).model_dump(mode="json")
        symbols = {s: p.model_dump(mode="json") for s, p in self.symbols.symbols.items()}
        return {
            "policy": sha256(policy_values(self.policy)),
            "learning": sha256(plain(learning)),
            "symbols": sha256(plain(symbols)),
            "schedule": sha256([self.day.retrain_every, self.day.holdout]),
            "seed": str(seed),
        }


def settings(folder: Path) -> Settings:
    """Read a params folder; a file that isn't there stands for its defaults.

    Raises
    ------
    Missing
        When the folder isn't there.
    ParamsError
        The first key that is unknown or out of range, with its file and what is allowed.
    """
    if not folder.is_dir():
        raise Missing(f"{folder} is no folder", remedy="Give --params a folder of YAML files.")
    return Settings(
        policy=validated(Policy, read_yaml(folder / "policy.yml"), file="policy.yml"),
        day=validated(DayParams, read_yaml(folder / "day.yml"), file="day.yml"),
        profiles=validated(
            Profiles, {"profiles": read_yaml(folder / "learning.yml") or {}}, file="learning.yml"
        ),
        symbols=validated(
            Symbols, {"symbols": read_yaml(folder / "symbols.yml") or {}}, file="symbols.yml"
        ),
        escalation=validated(EscalationParams, read_yaml(folder / ESCALATION), file=ESCALATION),
    )


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; None where there is no such file."""
    import yaml

    if not path.is_file():
        return None
    try:
        # The C loader knows the same safe types, and is ten times as fast.
        safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return yaml.load(path.read_text(encoding="utf-8"), Loader=safe)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = str(error).replace("\n", " ")
        allowed = f"must be YAML: {problem}"
        raise ParamsError("the file", "unreadable", allowed, file=path.name) from None


def section(path: Path, name: str, known: Iterable[str]) -> Mapping[str, Any]:
    """The section of a name in a file that has one a name; empty where there is none.

    Raises
    ------
    ParamsError
        When the file has a section that nobody reads, or one that is no mapping.
    """
    whole = read_yaml(path) or {}
    if not isinstance(whole, dict):
        raise ParamsError("the file", type(whole).__name__, "must be a mapping", file=path.name)
    for key, value in whole.items():
        if key not in known:
            allowed = f"allowed: {', '.join(sorted(known))}"
            raise ParamsError(str(key), "a section", allowed, file=path.name)
        if not isinstance(value, dict | None):
            raise ParamsError(str(key), type(value).__name__, "must be a mapping", file=path.name)
    return whole.get(name) or {}
