"""Every error hybridnb raises, in one tree.

    HybridnbError                 exit 5
    ├── InputError                exit 2   a stranger's file: where, which rule
    ├── ParamsError               exit 2   a parameter: key, value, what is allowed
    ├── UsageError                exit 2   a command that can't be meant
    ├── CheckFailed               exit 1   a check ran and the answer is no
    │   └── LedgerBroken          exit 1   first row that doesn't verify
    ├── Refused                   exit 3   allowed by nobody: risk, gate, quota, another book
    └── Missing                   exit 4   something outside isn't there
        └── BrokerDown            exit 4   no connection to a broker

A refused *order* is no exception: it is an order with a reason code (`domain.Refusal`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class HybridnbError(Exception):
    """Root of the tree; `remedy` says what the reader can do."""

    exit_code = 5
    remedy = ""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy or self.remedy

    def as_dict(self) -> dict[str, Any]:
        """The error as one JSON object: code, sentence, remedy."""
        return {"error": type(self).__name__, "message": str(self), "remedy": self.remedy}


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken rule in a file: the line of the file (None: the file as a whole), rule, detail."""

    file: str
    row: int | None
    rule: str
    detail: str

    def __str__(self) -> str:
        where = self.file if self.row is None else f"{self.file}, row {self.row}"
        return f"{where}: {self.rule}: {self.detail}"


class InputError(HybridnbError):
    """A file breaks a data contract; nothing of it was used."""

    exit_code = 2
    remedy = "Mend the file named above and run the command again; nothing was written."

    def __init__(self, breaches: list[Breach], *, remedy: str = "") -> None:
        self.breaches = tuple(breaches)
        shown = "\n".join(str(b) for b in breaches[:20])
        more = f"\n… and {len(breaches) - 20} more" if len(breaches) > 20 else ""
        super().__init__(shown + more, remedy=remedy)

    def as_dict(self) -> dict[str, Any]:
        rows = [
            {"file": b.file, "row": b.row, "rule": b.rule, "detail": b.detail}
            for b in self.breaches
        ]
        return super().as_dict() | {"breaches": rows}


class ParamsError(HybridnbError):
    """A parameter is unknown or out of range."""

    exit_code = 2

    def __init__(self, key: str, value: object, allowed: str, *, file: str = "") -> None:
        self.key, self.value, self.allowed, self.file = key, value, allowed, file
        where = f"{file}: " if file else ""
        super().__init__(
            f"{where}{key} = {value!r} is not allowed; {allowed}",
            remedy=f"Change {key} in {file or 'the parameters'} and run the command again.",
        )


class UsageError(HybridnbError):
    """A command or an argument that can't be meant."""

    exit_code = 2


class CheckFailed(HybridnbError):
    """A check ran to its end and the answer is no; `details` says what it found."""

    exit_code = 1

    def __init__(
        self, message: str, *, remedy: str = "", details: dict[str, Any] | None = None
    ) -> None:
        self.details = details or {}
        super().__init__(message, remedy=remedy)

    def as_dict(self) -> dict[str, Any]:
        return self.details | super().as_dict()


class LedgerBroken(CheckFailed):
    """A ledger chain doesn't verify."""

    remedy = "Stop trading, keep the file, and restore the last backup that verifies."

    def __init__(self, message: str, *, first_broken: dict[str, Any]) -> None:
        self.first_broken = first_broken
        super().__init__(message, details={"ok": False, "first_broken": first_broken})


class Refused(HybridnbError):
    """What was asked is not allowed in the present state."""

    exit_code = 3


class Missing(HybridnbError):
    """Something outside the product (package, file, server) isn't there."""

    exit_code = 4


class BrokerDown(Missing):
    """No connection to a broker; what was sent last may have arrived."""

    remedy = "Start the broker's gateway, then run the command again: it reconciles first."
