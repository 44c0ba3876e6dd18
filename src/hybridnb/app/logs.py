"""Structured logs: one JSON object a line, with the ids that lead to the ledger, and no secret.

`HYBRIDNB_LOG=json` writes them to standard error; any other value is a file, rotated at 10 MB,
five kept; `HYBRIDNB_LOG=home` is `logs/hybridnb.jsonl` of the home. Unset, nothing is set up and
libraries log as they do. The ledger is the record; a log is for whoever watches.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hybridnb.app.home import home
from hybridnb.errors import Missing

VARIABLE = "HYBRIDNB_LOG"
LEVEL = "HYBRIDNB_LOG_LEVEL"
NAME = "hybridnb"
BYTES, KEPT = 10_000_000, 5
IDS = ("run", "job", "session", "decision", "order", "book")
# What a ledger row calls them, and what of it is told besides.
_NAMES = {"book": "book", "session": "session", "decision": "decision_id", "order": "client_id"}
_TOLD = (
    "symbol",
    "action",
    "side",
    "leg",
    "quantity",
    "state",
    "text",
    "at",
    "day_pnl",
    "refusals",
)
HIDDEN = "[hidden]"
LONGEST = 4000  # characters of one value
# What looks like a credential wherever it stands: in a header, a URL or a key.
_PATTERNS = (
    re.compile(r"(?i)(?<=authorization: )(?:token|bearer|basic)?\s*\S+"),
    re.compile(r"(?i)(?<=[?&]token=)[^&\s\"']+"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"),
)
_SECRET_VARIABLE = re.compile(r"(KEY|SECRET|TOKEN|PASSWORD|PASSWD)$")
_LEAST = 8  # characters of a secret; shorter values would be found everywhere
_SECRET_KEY = re.compile(r"(?i)(key|secret|token|password|passwd|authorization|cookie)$")
_NONE: Mapping[str, str] = MappingProxyType({})
_IDS: ContextVar[Mapping[str, str]] = ContextVar("hybridnb_ids", default=_NONE)


def secrets() -> dict[str, bytes]:
    """Values of the environment that may be in no file, by the variable's name."""
    return {
        name: value.encode()
        for name, value in sorted(os.environ.items())
        if _SECRET_VARIABLE.search(name) and len(value) >= _LEAST
    }


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """Everything logged inside carries these ids, in this thread or task.

    Raises
    ------
    ValueError
        For an id of another name than `IDS`.
    """
    if unknown := ids.keys() - set(IDS):
        raise ValueError(f"no id {sorted(unknown)[0]!r}")
    token = _IDS.set({**_IDS.get(), **ids})
    try:
        yield
    finally:
        _IDS.reset(token)


def event(name: str, **facts: Any) -> None:
    """Log that something happened, with plain facts."""
    logging.getLogger(NAME).info(name, extra={"facts": facts})


def log_rows(rows: Sequence[Mapping[str, Any]], since: int) -> int:
    """Log the ledger rows from number `since` on, each with its ids; how many there are.

    Without a log it costs nothing.
    """
    log = logging.getLogger(NAME)
    if log.isEnabledFor(logging.INFO):
        for row in rows[since:]:
            named = {ours: row[theirs] for ours, theirs in _NAMES.items() if row.get(theirs)}
            told = {name: row[name] for name in _TOLD if name in row}
            with about(**{name: str(value) for name, value in named.items()}):
                event(str(row["kind"]), **told)
    return len(rows)


class Lines(logging.Formatter):
    """A record as one line of JSON.

    Parameters
    ----------
    hidden : mapping of str to bytes
        Values that are replaced wherever they stand.
    """

    def __init__(self, hidden: Mapping[str, bytes]) -> None:
        super().__init__()
        # The longest first: one may contain another.
        self._hidden = sorted((v.decode() for v in hidden.values()), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        at = dt.datetime.fromtimestamp(record.created, dt.UTC)
        line: dict[str, Any] = {
            "at": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self.clean(record.getMessage()),
            **_IDS.get(),
        }
        facts = getattr(record, "facts", {})
        line |= {str(k): self._value(str(k), v) for k, v in facts.items() if k not in line}
        if record.exc_info:
            line["error"] = self.clean(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=lambda v: self.clean(str(v)))

    def _value(self, name: str, value: Any) -> Any:
        if _SECRET_KEY.search(name):
            return HIDDEN
        if isinstance(value, Mapping):
            return {str(k): self._value(str(k), v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._value("", each) for each in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.clean(str(value))

    def clean(self, text: str) -> str:
        """A text without secrets, cut where it is too long."""
        for value in self._hidden:
            text = text.replace(value, HIDDEN)
        for pattern in _PATTERNS:
            text = pattern.sub(HIDDEN, text)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}… [{len(text):,} characters]"


def set_up() -> bool:
    """Set logging up as the environment asks; whether it asked for anything.

    Called once by a command that keeps running; called again it changes nothing.

    Raises
    ------
    Missing
        When the file can't be written.
    """
    asked = os.environ.get(VARIABLE, "")
    if not asked:
        return False
    root = logging.getLogger()
    if any(isinstance(h.formatter, Lines) for h in root.handlers):
        return True
    handler = _handler(asked)
    handler.setFormatter(Lines(secrets()))
    level = os.environ.get(LEVEL, "INFO").upper()
    root.addHandler(handler)
    # Of libraries only what is wrong.
    logging.getLogger(NAME).setLevel(level if level in logging.getLevelNamesMapping() else "INFO")
    return True


def _handler(asked: str) -> logging.Handler:
    if asked == "json":
        return logging.StreamHandler(sys.stderr)
    path = home().folder("logs") / "hybridnb.jsonl" if asked == "home" else Path(asked)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        return RotatingFileHandler(path, maxBytes=BYTES, backupCount=KEPT, encoding="utf-8")
    except OSError as error:
        remedy = f"Set {VARIABLE} to json, home, or a file that you can write."
        raise Missing(f"the log {path} can't be written: {error.strerror}", remedy=remedy) from None
