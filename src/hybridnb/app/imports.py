"""Imports that would cost a second for nothing, kept from happening."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

# jsonschema builds a grammar from this package when it is imported, which takes a second and
# serves only to check international addresses, of which a notebook has none.
GRAMMAR = "rfc3987_syntax"
HADOOP = "pyarrow"  # papermill looks for it, to read notebooks from a Hadoop file system


def lean(name: str) -> ModuleType:
    """Import a module that reads or runs notebooks, without what it has no use for.

    Both of those are optional to who imports them; whoever wants them can import them afterwards.
    """
    absent = [each for each in (GRAMMAR, HADOOP) if each not in sys.modules]
    for each in absent:
        sys.modules[each] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    finally:
        for each in absent:
            del sys.modules[each]
