"""The world as a compiler sees it: one reference to a struct of arrays and numbers.

Imported only where numba is installed. A value with seventy arrays would be copied at every
call; a reference isn't.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
from numba import njit, types
from numba.experimental import structref

from hybridnb.limits import Limits
from hybridnb.replay.tape import World

FIELDS = tuple(field.name for field in fields(World))
LIMITS = np.dtype(
    [(name, "f8", (5,)) if name in ("bucket", "name") else (name, "f8") for name in Limits._fields]
)


@structref.register
class WorldType(types.StructRef):  # type: ignore[misc]
    """The struct's type: its fields are the world's."""

    def preprocess_fields(self, fields: Any) -> Any:
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class WorldRef(structref.StructRefProxy):  # type: ignore[misc]
    """A handle on the struct, made inside compiled code only."""


structref.define_constructor(WorldRef, WorldType, list(FIELDS))
structref.define_attributes(WorldType)


def flat(world: World) -> tuple[Any, ...]:
    """A world's fields in order; limits as records, which are passed by reference."""
    limits = np.zeros(2, LIMITS)
    for at, each in enumerate(world.limits):
        for name, value in each._asdict().items():
            limits[name][at] = value
    parts = {name: getattr(world, name) for name in FIELDS} | {"limits": limits}
    # One memory layout, so that one compilation serves every history.
    return tuple(
        np.require(part, requirements=["C", "W"]) if isinstance(part, np.ndarray) else part
        for part in parts.values()
    )


def entry(kernel: Any, *, cache: bool) -> Callable[[World, int, int], int]:
    """A compiled kernel `(world, start, stop) -> int` that takes the plain world."""

    def enter(given: Any, start: int, stop: int) -> int:
        return int(kernel(WorldRef(*given), start, stop))

    compiled = njit(enter, cache=cache)
    return lambda world, start, stop: int(compiled(flat(world), start, stop))
