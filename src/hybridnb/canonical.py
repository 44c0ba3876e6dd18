"""One canonical form for everything that is hashed: policy, orders, ledger rows, digests.

JSON with sorted keys, no spaces, UTF-8, shortest round-trip floats (ECMAScript-like, as
Python's `repr`). A missing figure is `null`; NaN becomes `null`; infinity is refused, because
nothing infinite may be recorded.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hybridnb.values import fields_of

_ATOMS = frozenset({str, int, bool, type(None)})  # JSON knows them as they are


def plain(value: Any) -> Any:
    """Reduce a value to what JSON knows.

    Parameters
    ----------
    value : object
        Dataclasses, mappings, sequences, enums, dates, NumPy scalars and arrays; frozen sets of
        values that can be sorted.

    Returns
    -------
    object
        dict, list, str, int, float, bool or None. NaN becomes None.

    Raises
    ------
    ValueError
        On infinity, or on a type that has no canonical form.
    """
    known = type(value)
    if known in _ATOMS:
        return value
    if known is float:
        return _number(value)
    if known is dict:
        return {k if type(k) is str else str(plain(k)): plain(v) for k, v in value.items()}
    if known is list or known is tuple:
        return [plain(v) for v in value]
    if isinstance(value, enum.Enum):
        return value._value_
    if dataclasses.is_dataclass(known):
        names, parts = fields_of(known)
        return {
            name: part if type(part) in _ATOMS else plain(part)
            for name, part in zip(names, parts(value), strict=True)
        }
    return _rare(value)


def _rare(value: Any) -> Any:
    match value:
        case np.bool_():
            return bool(value)
        case int() | np.integer():
            return int(value)
        case float() | np.floating():
            return _number(float(value))
        case str():
            return str(value)
        case dt.datetime() | dt.date():
            return value.isoformat()
        case Mapping():
            return {str(plain(k)): plain(v) for k, v in value.items()}
        case np.ndarray():
            return [plain(v) for v in value.tolist()]
        case list() | tuple():
            return [plain(v) for v in value]
        case frozenset():
            return sorted(plain(v) for v in value)
    raise ValueError(f"{type(value).__name__} has no canonical form")


def _number(value: float) -> float | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        raise ValueError("infinity has no canonical form")
    return value + 0.0  # -0.0 becomes 0.0, so that equal numbers have equal text


def canonical(value: Any) -> str:
    """Canonical JSON text of a value (see the module's docstring)."""
    return _encoder().encode(plain(value))


@functools.cache
def _encoder() -> json.JSONEncoder:
    return json.JSONEncoder(
        sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256(value: Any) -> str:
    """SHA-256 of bytes as they are, of text in UTF-8, of anything else in canonical JSON."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    text = value if type(value) is str else canonical(value)
    return hashlib.sha256(text.encode()).hexdigest()
