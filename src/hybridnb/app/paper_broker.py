"""The paper venue as a broker that outlives its process: its account is a file of the home.

Every change is on the disk before it is answered, so that a process that dies at any point finds
the venue as it left it. Each phase of a session's bars happens once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from hybridnb.app.panel import Day
from hybridnb.app.runner import write_atomically
from hybridnb.app.state import State
from hybridnb.canonical import canonical
from hybridnb.domain import Order
from hybridnb.errors import CheckFailed
from hybridnb.execution.oco import OcoRule
from hybridnb.execution.paper import PaperVenue
from hybridnb.execution.paper_account import Snapshot
from hybridnb.policy import Policy
from hybridnb.ports import Events, Holding, Statement


@dataclass(frozen=True, slots=True)
class Kept:
    """What the file holds: the account, and which phases of the last session have happened."""

    account: Snapshot
    session: str = ""
    played: tuple[str, ...] = ()


def account_of(state: State, *, currency: str, sip: str, seen: float) -> Snapshot:
    """A paper account as a book stands: where a book is traded through the broker first."""
    holdings = {s: Holding(p.quantity, p.entry) for s, p in state.book.positions.items()}
    if state.book.sip_units:
        holdings[sip] = Holding(state.book.sip_units, 0.0)
    return Snapshot(
        cash=state.book.cash,
        currency=currency,
        holdings=holdings,
        orders=state.working,
        seen={order.client_id: seen for order in state.working},
        paid={order.client_id: order.filled for order in state.working},
        fees={s: p.fees for s, p in state.book.positions.items()},
    )


class PaperBroker:
    """The paper venue over a day's bars; see `ports.Broker`.

    Parameters
    ----------
    path : Path
        The account's file; where there is none, `first` is the account.
    clock : callable
        Seconds.

    Raises
    ------
    CheckFailed
        When the file can't be read.
    """

    name = "paper"

    def __init__(
        self, path: Path, day: Day, policy: Policy, *, first: Snapshot, clock: Callable[[], float]
    ) -> None:
        self._path, self._day, self.oco = path, day, OcoRule(policy.stops.oco)
        kept = _read(path) or Kept(first)
        again = kept.session == day.session
        self._played = list(kept.played) if again else []
        self.venue = PaperVenue(
            policy.costs,
            day.instruments,
            account=kept.account if again else replace(kept.account, realised=0),
            clock=clock,
            oco=self.oco,
        )
        self.venue.liquidity = day.liquidity

    def submit(self, orders: Sequence[Order]) -> list[Order]:
        """As the venue, kept."""
        return self._kept(self.venue.submit(orders))

    def amend(self, orders: Sequence[Order]) -> list[Order]:
        """As the venue, kept."""
        return self._kept(self.venue.amend(orders))

    def cancel(self, client_ids: Iterable[str]) -> list[Order]:
        """As the venue, kept."""
        return self._kept(self.venue.cancel(client_ids))

    def poll(self) -> Events:
        """As the venue; a restart tells the rest by its statement."""
        return self.venue.poll()

    def statement(self) -> Statement:
        """As the venue."""
        return self.venue.statement()

    def close(self) -> None:
        """Everything is on the disk already."""

    def pace(self, phase: str) -> Iterator[None]:
        """Let a phase of the day's bars happen, once, and say that there is news."""
        if phase not in self._played:
            self.venue.run(self._day.bars, phase)
            self._played.append(phase)
            self._keep()
        yield

    def _kept(self, answers: list[Order]) -> list[Order]:
        self._keep()
        return answers

    def _keep(self) -> None:
        kept = Kept(self.venue.snapshot(), self._day.session, tuple(self._played))
        write_atomically(self._path, canonical(kept))


def _read(path: Path) -> Kept | None:
    if not path.is_file():
        return None
    try:
        return TypeAdapter(Kept).validate_json(path.read_bytes())
    except ValueError as error:
        problem = str(error).split("\n", 1)[0]
        raise CheckFailed(
            f"the paper account {path.name} can't be read: {problem}",
            remedy="Restore the file from a backup, or move it away and adopt the empty account.",
        ) from None
