"""The items of `hybridnb golive`, each computed from what both chains hold of a book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from hybridnb.app.crises import REPLAYED
from hybridnb.app.golive import Item, State
from hybridnb.app.home import home, shipped
from hybridnb.app.session_gates import Gated, gated
from hybridnb.app.settings import settings
from hybridnb.domain import Leg, Mode
from hybridnb.errors import HybridnbError
from hybridnb.escalation.changes import Training
from hybridnb.gates.presets import BRIER as ACCEPTED
from hybridnb.gates.rules import SCENARIOS, SENTINEL
from hybridnb.gates.verdict import is_valid
from hybridnb.ledger.store import Ledger
from hybridnb.policy import Policy

Row = Mapping[str, Any]
GATE_SESSIONS = 10  # consecutive ones in which every session risk gate holds
SESSIONS = 60  # that the promotion's figures are measured over
PAPER_DAYS = 2  # of open-to-close paper trading: days 3 and 4 of the plan
_SHOWN = 5  # ids named of a longer list
_UNRECORDED = "a run of the tests leaves no row in the ledger, so nothing here can tell"


class Evidence:
    """What the ledger holds of a book, read when it is first asked for."""

    def __init__(self, ledger: Ledger, book: str) -> None:
        self.ledger, self.book = ledger, book
        self.settings = settings(shipped("params"))

    def rows(self, kind: str) -> Sequence[Row]:
        """Session rows of the book, of one kind."""
        return self.ledger.rows("session", kind=kind, book=self.book)

    def runs(self, job: str) -> list[Row]:
        """Completed runs of a notebook."""
        return list(self.ledger.rows("operations", kind="run", job=job, status="completed"))

    @cached_property
    def closed(self) -> Sequence[Row]:
        return self.rows("session_closed")

    @cached_property
    def measured(self) -> Sequence[Row]:
        """The sessions that the promotion's figures are measured over."""
        return self.closed[-SESSIONS:]

    @cached_property
    def gated(self) -> list[Gated]:
        return gated(self.ledger, self.book, last=GATE_SESSIONS)

    @cached_property
    def verdict(self) -> Row | None:
        """The newest verdict on a model of the book's feed."""
        feeds = {row["feed"] for row in self.rows("inputs")}
        found = [r for r in self.ledger.rows("operations", kind="verdict") if r["feed"] in feeds]
        return found[-1] if found else None

    def figures(self, *names: str) -> list[Row]:
        """Figures of the newest verdict; what follows a comma in a name says of which model."""
        gates = self.verdict["gates"] if self.verdict else ()
        every = [figure for gate in gates for figure in gate["figures"]]
        return [f for f in every if f["name"].partition(",")[0] in names]

    def modes(self, mode: Mode) -> list[str]:
        """Closed sessions in a mode."""
        return [r["session"] for r in self.closed if r["snapshot"]["risk"]["mode"] == mode]


def ids(rows: Sequence[Row]) -> tuple[str, ...]:
    """Ids of rows, the newest of a longer list."""
    return tuple(_name(row) for row in rows[-_SHOWN:])


def _name(row: Row) -> str:
    if "id" in row:
        return str(row["id"])
    return f"{row['book']}-{row['session']}-{row['n'] if 'n' in row else row['kind']}"


def item(
    step: Mode, part: str, name: str, what: str, found: tuple[State, str, Sequence[Row]]
) -> Item:
    state, evidence, rows = found
    return Item(name, part, what, step, state, evidence, ids(rows))


def some(rows: Sequence[Row], told: str, missing: str) -> tuple[State, str, Sequence[Row]]:
    return (State.DONE, told, rows) if rows else (State.OPEN, missing, rows)


def _unbuilt(why: str) -> tuple[State, str, Sequence[Row]]:
    return State.UNBUILT, why, ()


def plan(seen: Evidence) -> list[Item]:
    """Days 1 to 5: what LIVE_MICRO waits for."""
    inputs, orders = seen.rows("inputs"), seen.rows("order")
    trained = seen.runs("training")
    early = [
        ("ingest", "bars ingested", some(inputs, f"{len(inputs)} sessions", "no session")),
        ("train", "models trained", some(trained, f"{len(trained)} runs", "no completed run")),
        ("walk-forward", "walk-forward without leaks", _figures(seen, "cut-off")),
        ("rewards", "base rewards in force", _rewards(seen)),
        ("caps", "base bucket caps in force", _caps(seen)),
        ("orders", "dry-run orders", some(orders, f"{len(orders)} order rows", "no order")),
    ]
    paper = [
        ("paper", "open-to-close paper trading", _paper(seen)),
        ("logs", "both chains verify", _logs(seen)),
        ("stops", "stops filled and every position covered", _stops(seen)),
        ("buckets", "bucket arithmetic", _arithmetic(seen)),
        ("triggers", "escalation triggers watched and fired", _triggers(seen)),
        ("kill", "a forced kill switch", _kill(seen)),
    ]
    fifth = [
        ("spikes", "volatility spikes replayed", _replayed(seen, "spikes")),
        ("spike-kills", "kill switch in those replays", _replayed(seen, "kills")),
        ("spike-escalations", "escalations in those replays", _replayed(seen, "events")),
        ("stress", "all eight stress scenarios", _figures(seen, *SCENARIOS)),
        ("clamps", "clamps bind", _clamps(seen)),
    ]
    parts = (("days 1 and 2", early), ("days 3 and 4", paper), ("day 5", fifth))
    return [
        item(Mode.LIVE_MICRO, part, name, what, found)
        for part, items in parts
        for name, what, found in items
    ]


def _figures(seen: Evidence, *names: str) -> tuple[State, str, Sequence[Row]]:
    """Whether every such figure of the newest verdict passed."""
    found = seen.figures(*names)
    rows = [seen.verdict] if seen.verdict else []
    told = ", ".join(f"{f['name']} {_word(f['passed'])}" for f in found)
    if any(f["passed"] is False for f in found):
        return State.OPEN, told, rows
    missing = set(names) - {f["name"].partition(",")[0] for f in found}
    if missing or any(f["passed"] is None for f in found):
        why = "no verdict" if seen.verdict is None else f"the verdict has no {', '.join(names)}"
        return State.EVIDENCE, told or why, rows
    return State.DONE, told, rows


def _word(passed: bool | None) -> str:
    return {True: "passed", False: "failed", None: "can't be told"}[passed]


def _rewards(seen: Evidence) -> tuple[State, str, Sequence[Row]]:
    """The coefficients of the profile in force are those to start from."""
    ppo, base = seen.settings.learning(seen.settings.day.profile).ppo, Training()
    mine = Training(ppo.returns, ppo.turnover, ppo.drawdown, ppo.penalty_rate)
    told = f"returns {mine.returns}, turnover {mine.turnover}, drawdown {mine.drawdown}"
    return (State.DONE if mine == base else State.OPEN), told, ()


def _caps(seen: Evidence) -> tuple[State, str, Sequence[Row]]:
    """The last session's policy has the base caps, or tighter ones."""
    rows = seen.rows("policy")[-1:]
    if not rows:
        return State.OPEN, "no session", rows
    base = {f"bucket_{name}": getattr(Policy().clamps, f"bucket_{name}") for name in _BUCKETS}
    mine = {name: rows[0]["values"]["clamps"][name] for name in base}
    told = ", ".join(f"{name} {value:.2%}" for name, value in mine.items())
    held = all(mine[name] <= base[name] for name in base)
    return (State.DONE if held else State.OPEN), told, rows


_BUCKETS = ("penny", "fno", "core")


def _paper(seen: Evidence) -> tuple[State, str, Sequence[Row]]:
    marks: dict[str, set[str]] = {}
    for row in seen.rows("mark"):
        marks.setdefault(row["session"], set()).add(row["at"])
    whole = [r for r in seen.closed if {"open", "close"} <= marks.get(r["session"], set())]
    demo = [r for r in whole if r["snapshot"]["risk"]["mode"] == Mode.DEMO]
    told = f"{len(demo)} of {PAPER_DAYS} sessions from open to close in DEMO"
    return (State.DONE if len(demo) >= PAPER_DAYS else State.OPEN), told, demo


def _logs(seen: Evidence) -> tuple[State, str, Sequence[Row]]:
    found = seen.ledger.verify()
    told = f"{found.rows:,} rows verify" if found.ok else f"broken at {found.first_broken}"
    return (State.DONE if found.ok else State.OPEN), told, ()


def _stops(seen: Evidence) -> tuple[State, str, Sequence[Row]]:
    filled = [row for row in seen.rows("fill") if row["leg"] == Leg.STOP]
    bad = [g for g in seen.gated if g.gates["every stop executed"].ok is False]
    if bad:
        return State.OPEN, f"{bad[-1].session}: {bad[-1].gates['every stop executed'].detail}", ()
    return some(filled, f"{len(filled)} stop fills", "no stop was filled yet")


def _arithmetic(seen: Evidence) -> tuple[State, str, Sequence[Row]]:
    found = [(g, g.gates["bucket compliance"]) for g in seen.gated if g.entries]
    bad = [(g, gate) for g, gate in found if gate.ok is not True]
    if bad:
        return State.OPEN, f"{bad[-1][0].session}: {bad[-1][1].detail}", ()
    if not found:
        return State.EVIDENCE, f"no entry in the last {len(seen.gated)} sessions", ()
    return State.DONE, f"{found[-1][0].session}: {found[-1][1].detail}", ()


def _triggers(seen: Evidence) -> tuple[State, str, Sequence[Row]]:
    facts, fired = seen.rows("facts"), seen.rows("escalation")
    told = f"watched in {len(facts)} sessions, {len(fired)} escalations"
    return (State.DONE if facts and fired else State.EVIDENCE), told, fired


def _kill(seen: Evidence) -> tuple[State, str, Sequence[Row]]:
    """A killed DEMO session that ended without a position."""
    killed = [r for r in seen.closed if r["snapshot"]["risk"]["killed"]]
    flat = [r for r in killed if not r["snapshot"]["book"]["positions"]]
    demo = [r for r in flat if r["snapshot"]["risk"]["mode"] == Mode.DEMO]
    told = f"{len(killed)} kills, {len(flat)} of them flat at the close, {len(demo)} in DEMO"
    return (State.DONE if demo else State.OPEN), told, demo


def _replayed(seen: Evidence, what: str) -> tuple[State, str, Sequence[Row]]:
    """Stretches of the book's feed that `hybridnb triggers` stepped, with some of these in them."""
    feeds = {row["feed"] for row in seen.rows("inputs")}
    every = [r for r in seen.ledger.rows("operations", kind=REPLAYED) if r["feed"] in feeds]
    with_some = [row for row in every if row[what]]
    told = ", ".join(f"{row['first']} to {row['last']}" for row in with_some)
    missing = f"{len(every)} replays, none with any" if every else "run `hybridnb triggers`"
    return some(with_some, told, missing)


def _clamps(seen: Evidence) -> tuple[State, str, Sequence[Row]]:
    entries, bound = (sum(getattr(g, n) for g in seen.gated) for n in ("entries", "bound"))
    told = f"{bound} of {entries} entries were cut by a cap in {len(seen.gated)} sessions"
    return (State.DONE if bound else State.EVIDENCE), told, ()


def readiness(seen: Evidence) -> list[Item]:
    """D33's list, and a valid verdict (D25)."""
    found = [
        ("verdict", "a valid verdict, all seven gates PASS", _valid(seen)),
        ("percentiles", "percentiles of each stage written", _unbuilt("no stage is timed yet")),
        ("sentinel", "leakage sentinel quiet", _figures(seen, *SENTINEL)),
        ("brier", f"Brier < {ACCEPTED.threshold:.2f}", _brier(seen)),
        ("clamps-tested", "clamps tested", _unbuilt(_UNRECORDED)),
        ("oco", "OCO property tests", _unbuilt(_UNRECORDED)),
        ("registry", "sealed models verify", _registry()),
        ("shadow", "one session of shadow", _unbuilt("no session runs in shadow yet")),
        ("canary", "a canary within 2 % of drawdown", _unbuilt("there are no canaries yet")),
    ]
    return [item(Mode.LIVE_MICRO, "before LIVE_MICRO (D33)", *each) for each in found]


def _valid(seen: Evidence) -> tuple[State, str, Sequence[Row]]:
    found = seen.verdict
    if found is None or not seen.closed:
        return State.EVIDENCE, "no verdict", ()
    coming = seen.closed[-1]["snapshot"]["risk"]["ordinal"] + 1
    valid = is_valid(found, model_version=found["model_version"], ordinal=coming)
    told = f"{found['status']} of {found['session']}, until ordinal {found['valid_until']}"
    return (State.DONE if valid else State.OPEN), told, [found]


def _brier(seen: Evidence) -> tuple[State, str, Sequence[Row]]:
    known = [f for f in seen.figures("Brier") if f["value"] is not None]
    if not known or seen.verdict is None:
        return State.EVIDENCE, "no verdict with calibrated outcomes", ()
    value = float(known[-1]["value"])
    told = f"{value:.4f} over {known[-1]['n']:,} outcomes"
    return (State.DONE if value < ACCEPTED.threshold else State.OPEN), told, [seen.verdict]


def _registry() -> tuple[State, str, Sequence[Row]]:
    """Every digest of every sealed model of this home, computed again."""
    from hybridnb.registry.artifacts import open_sealed

    folders = sorted(p for p in home().folder("models").iterdir() if p.name[0] != ".")
    for folder in folders:
        try:
            open_sealed(folder)
        except HybridnbError as error:
            return State.OPEN, str(error), ()
    told = f"{len(folders)} sealed models verify"
    return (State.DONE, told, ()) if folders else (State.EVIDENCE, "no sealed model", ())
