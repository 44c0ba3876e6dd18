"""Twins of pure functions, compiled with everything they call; without numba, the functions.

The kernels are ordinary functions that know nothing of a compiler: a twin is made of the same
code with its callees replaced by their twins, so that both forms do the same operations in the
same order (no fused or reordered arithmetic) and agree to the last bit.
"""

from __future__ import annotations

import dis
import hashlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
PACKAGE = __name__.partition(".")[0]


def available() -> bool:
    """Whether a compiler is installed."""
    from importlib.util import find_spec

    return find_spec("numba") is not None


def compiled(function: F, *, cache: Path | None = None) -> F:
    """The compiled twin of a kernel, or the kernel itself where no compiler is installed.

    Parameters
    ----------
    function : callable
        Uses floats, integers, arrays, named tuples of them, and functions of this package that
        do. A function with an attribute `loop` is an array form; its twin is made of the loop.
    cache : Path, optional
        Folder that keeps machine code between processes, one subfolder for each state of the
        sources; without it the twin lives in this process only.

    Returns
    -------
    callable
        Takes positional or keyword arguments as the kernel does.
    """
    if not available():
        return function
    import numba

    if cache is not None:
        # numba looks at the file of the function alone; its callees lie in other files.
        numba.config.CACHE_DIR = str(cache / _sources_digest())  # type: ignore[attr-defined]
    made: dict[Any, Any] = {}
    return _twin(function, made, cache is not None)  # type: ignore[no-any-return]


def _twin(function: Any, made: dict[Any, Any], cache: bool) -> Any:
    source = getattr(function, "loop", function)
    if source in made:
        return made[source]
    import numba

    code = source.__code__
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    scope = dict(source.__globals__)
    for name in names & scope.keys():
        value = scope[name]
        if isinstance(value, types.FunctionType) and value.__module__.startswith(PACKAGE):
            scope[name] = _twin(value, made, cache)
        elif type(value) is int:
            # A plain integer is a type of its own, for which every callee would be made anew.
            scope[name] = np.int64(value)
    # The compiler knows no keyword-only parameters; callers may still name them.
    every = code.co_argcount + code.co_kwonlyargcount
    code = code.replace(co_argcount=every, co_kwonlyargcount=0)
    plain = types.FunctionType(code, scope, source.__name__, source.__defaults__)
    plain.__module__, plain.__qualname__ = source.__module__, source.__qualname__
    made[source] = numba.njit(plain, cache=cache, error_model="numpy")
    return made[source]


def _sources_digest() -> str:
    """Of the Python version and every source file that may hold a kernel."""
    digest = hashlib.sha256(sys.version.encode())
    root = Path(__file__).resolve().parents[1]
    for path in sorted([*root.glob("*.py"), *root.glob("replay/*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
