"""What a notebook may be told: its typed `parameters` cell, and values checked against it."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from hybridnb.errors import Breach, InputError, ParamsError

TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
# Parameters are stored in clear, in the notebook and in its report.
_SECRET = re.compile(r"token|secret|passw|api_?key|credential", re.IGNORECASE)


def checked(source: str, given: Mapping[str, Any], *, file: str) -> dict[str, Any]:
    """The given parameters, each of a known name and its declared type.

    Parameters
    ----------
    source : str
        The notebook's file.

    Raises
    ------
    ParamsError
        For a name that is unknown or names a secret, a wrong type, a non-finite number.
    InputError
        When the file is no notebook.
    """
    declared = _declared(source, file)
    for name, value in given.items():
        if _SECRET.search(name):
            raise ParamsError(name, "…", "secrets come from the environment", file=file)
        if name not in declared:
            allowed = f"allowed: {', '.join(sorted(declared)) or 'none'}"
            raise ParamsError(name, value, allowed, file=file)
        _check(name, value, declared[name], file)
    return dict(given)


def _check(name: str, value: Any, kind: str, file: str) -> None:
    expected = TYPES[kind]
    fits = isinstance(value, expected) and not (isinstance(value, bool) and expected is not bool)
    fits |= expected is float and isinstance(value, int) and not isinstance(value, bool)
    if not fits:
        raise ParamsError(name, value, f"must be {kind}", file=file)
    if isinstance(value, float) and not math.isfinite(value):
        raise ParamsError(name, value, "must be finite", file=file)


def _declared(source: str, file: str) -> dict[str, str]:
    """Name and type of each parameter of the tagged cell."""
    try:
        cells = json.loads(source)["cells"]
        tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
        text = "".join(tagged[0]["source"]) if tagged else ""
        body = ast.parse(text).body
    except (ValueError, KeyError, TypeError, SyntaxError) as error:
        raise InputError([Breach(file, None, "notebook", f"can't be read: {error}")]) from None
    found = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            kind = ast.unparse(node.annotation)
            if kind not in TYPES:
                raise ParamsError(node.target.id, kind, f"types: {', '.join(TYPES)}", file=file)
            found[node.target.id] = kind
    return found
