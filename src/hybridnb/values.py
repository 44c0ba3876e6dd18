"""Frozen values: reading all fields at once, and the same value with some of them changed."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


@functools.cache
def fields_of(kind: type[Any]) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Names of a dataclass's fields, and what reads them all at once."""
    names = tuple(field.name for field in dataclasses.fields(kind))
    if len(names) > 1:
        return names, operator.attrgetter(*names)
    return names, lambda value: tuple(getattr(value, name) for name in names)


def replace(value: T, /, **changes: Any) -> T:
    """`dataclasses.replace`, in half its time: a step makes hundreds of new values of old ones.

    Parameters
    ----------
    value : dataclass
        Every field of its class is a parameter of the constructor.

    Raises
    ------
    TypeError
        For a name that is no field.
    """
    kind: Any = type(value)
    names, parts = fields_of(kind)
    changed: T = kind(**dict(zip(names, parts(value), strict=True), **changes))
    return changed
