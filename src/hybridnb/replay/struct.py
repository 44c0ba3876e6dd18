"""The world as a compiler sees it: an address, behind which lie numbers and the arrays' addresses.

Imported only where numba is installed. Values with seventy arrays would be copied at every call,
and each array counted at every use; what lies behind an address is neither. The caller keeps the
world alive while a kernel runs.
"""

# The compiler's own annotations are incomplete:
# mypy: disable-error-code="misc,no-untyped-call,untyped-decorator,override"

from __future__ import annotations

import struct
import weakref
from collections.abc import Callable
from ctypes import addressof, c_char
from dataclasses import fields
from functools import lru_cache
from hashlib import sha256
from itertools import chain
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import typeof, types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

from hybridnb.costs import Rates
from hybridnb.decide import INPUT
from hybridnb.limits import Limits
from hybridnb.replay.tape import World

WORD = ir.IntType(64)
FORMS = ("arrays", "numbers")  # of a world: here one and the same
SIMPLE = {float: types.float64, int: types.int64}


class Handle:
    """A world's words, 8 bytes for each number, address and length, in the order of its fields."""

    def __init__(self, world: World) -> None:
        parts = {f.name: _plain(getattr(world, f.name)) for f in fields(World)}
        records = {"limits": _records(world.limits), "rates": _records((world.rates,)).reshape(())}
        self.kept = parts | records | {"row": np.zeros(1, INPUT)}
        codes, values = zip(*map(_packed, self.kept.values()), strict=True)
        packed = struct.pack("=" + "".join(codes), *chain.from_iterable(values))
        self.words = np.frombuffer(packed, np.int64)
        self.address = self.words.ctypes.data


def _plain(part: Any) -> Any:
    # One memory layout, so that one compilation serves every history; and what may be written to.
    if not isinstance(part, np.ndarray) or (part.flags.c_contiguous and part.flags.writeable):
        return part
    return np.require(part, requirements=["C", "W"])


def _records(every: tuple[Limits | Rates, ...]) -> Any:
    """Numbers and rows of numbers as records, which are passed by reference."""
    shapes = [(name, "f8", np.shape(value)) for name, value in every[0]._asdict().items()]
    return np.array([tuple(each) for each in every], shapes)


def _packed(part: Any) -> tuple[str, tuple[Any, ...]]:
    """A part's words: what they are to `struct`, and their values."""
    if isinstance(part, np.ndarray):
        return "qqqq"[: 1 + part.ndim], (_address(part), *part.shape)
    values = part if isinstance(part, tuple) else (part,)
    return "".join("d" if isinstance(each, float) else "q" for each in values), values


def _address(array: Any) -> int:
    """Of an array's memory, in a third of the time that NumPy takes to tell."""
    return addressof(c_char.from_buffer(array)) if array.size else 0


class WorldType(types.Type):
    """An address of words whose types are the fields'."""

    def __init__(self, members: tuple[tuple[str, Any], ...]) -> None:
        self.members = members
        # The name is part of every symbol: a long one slows the compiler down.
        super().__init__(name=f"World_{sha256(str(members).encode()).hexdigest()[:16]}")


register_model(WorldType)(models.OpaqueModel)


@typeof_impl.register(Handle)
def _type_of(handle: Handle, context: Any) -> WorldType:
    return _type_like(tuple(handle.kept), tuple(map(_form, handle.kept.values())))


def _form(part: Any) -> Any:
    """What tells a part's type, quickly."""
    if isinstance(part, np.ndarray):
        return part.dtype if part.dtype.names else part.dtype.char, part.ndim
    return SIMPLE.get(type(part)) or typeof(part)


@lru_cache(maxsize=4)
def _type_like(names: tuple[str, ...], forms: tuple[Any, ...]) -> WorldType:
    return WorldType(tuple(zip(names, map(_member, forms), strict=True)))


def _member(form: Any) -> Any:
    if not isinstance(form, tuple):
        return form
    of = from_dtype(np.dtype(form[0]))
    return types.Array(of, form[1], "C") if form[1] else of


@unbox(WorldType)
def _from_python(kind: Any, handle: Any, c: Any) -> NativeValue:
    number = c.pyapi.object_getattr_string(handle, "address")
    address = c.pyapi.long_as_longlong(number)
    c.pyapi.decref(number)
    return NativeValue(c.builder.inttoptr(address, cgutils.voidptr_t))


@infer_getattr
class WorldAttributes(AttributeTemplate):
    """The types of the fields."""

    key = WorldType

    def generic_resolve(self, kind: WorldType, name: str) -> Any:
        return kind if name in FORMS else dict(kind.members).get(name)


@lower_getattr_generic(WorldType)
def _attribute(context: Any, builder: Any, kind: WorldType, address: Any, name: str) -> Any:
    if name in FORMS:
        return address
    before = 0
    for member, of in kind.members:
        if member == name:
            break
        before += _words(of)
    words = builder.bitcast(address, WORD.as_pointer())
    return _load(context, builder, of, builder.gep(words, [WORD(before)]))


def _words(of: Any) -> int:
    if isinstance(of, types.Array):
        return 1 + int(of.ndim)
    return sum(map(_words, _members(of))) if isinstance(of, types.BaseTuple) else 1


def _members(of: Any) -> tuple[Any, ...]:
    return tuple(of)


def _load(context: Any, builder: Any, of: Any, words: Any) -> Any:
    """A value of a type from its words; they never change, and arrays in them aren't counted."""

    def word(at: int) -> Any:
        found = builder.load(builder.gep(words, [WORD(at)]))
        found.set_metadata("invariant.load", builder.module.add_metadata([]))
        return found

    if isinstance(of, types.BaseTuple):
        parts, at = [], 0
        for each in _members(of):
            parts.append(_load(context, builder, each, builder.gep(words, [WORD(at)])))
            at += _words(each)
        return context.make_tuple(builder, of, parts)
    if isinstance(of, types.Array):
        return _array(context, builder, of, [word(at) for at in range(_words(of))])
    if isinstance(of, types.Record):
        return builder.inttoptr(word(0), context.get_value_type(of))
    return builder.bitcast(word(0), context.get_value_type(of)) if of is types.float64 else word(0)


def _array(context: Any, builder: Any, of: Any, words: list[Any]) -> Any:
    array = context.make_array(of)(context, builder)
    size = context.get_abi_sizeof(context.get_data_type(of.dtype))
    strides = [WORD(size)]
    for length in words[:1:-1]:
        strides.insert(0, builder.mul(strides[0], length))
    populate_array(
        array,
        data=builder.inttoptr(words[0], context.get_data_type(of.dtype).as_pointer()),
        shape=words[1:],
        strides=strides,
        itemsize=WORD(size),
        meminfo=None,
    )
    return array._getvalue()


def entry(kernel: Any) -> Callable[[World, int, int], int]:
    """A compiled kernel `(world, start, stop) -> int` that takes the plain world.

    A world's words are made once, at its first call, and go with it.
    """
    known: dict[int, tuple[Any, Handle]] = {}

    def run(world: World, start: int, stop: int) -> int:
        at = id(world)
        if at not in known:
            known[at] = (weakref.ref(world, lambda _: known.pop(at, None)), Handle(world))
        return int(kernel(known[at][1], start, stop))

    return run
