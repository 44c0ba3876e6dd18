"""What a notebook may be told: its typed `parameters` cell, and values checked against it."""

from __future__ import annotations

import ast
import datetime as dt
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from hybridnb.errors import Breach, InputError, ParamsError

TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
# Parameters are stored in clear, in the notebook and in its report.
_SECRET = re.compile(
    r"token|secret|passw|credential|api_?key|(?:^|_)keys?(?:_|$)|[a-z](?-i:Key)", re.IGNORECASE
)


def checked(source: str, given: Mapping[str, Any], *, file: str) -> dict[str, Any]:
    """The given parameters, each of a known name and its declared type.

    Parameters
    ----------
    source : str
        The text of the notebook's file.
    given : mapping of str to object
        A whole number is taken for a float, a date for a str (its ISO form).
    file : str
        Named in the errors.

    Returns
    -------
    dict
        Sorted by name, so that equal parameters make equal notebooks.

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
    return {name: _fitting(name, given[name], declared[name], file) for name in sorted(given)}


def _fitting(name: str, value: Any, kind: str, file: str) -> Any:
    if kind == "float" and type(value) is int:
        value = float(value) if abs(value) < 2**53 else math.inf
    if kind == "str" and type(value) is dt.date:  # what YAML makes of an unquoted date
        value = value.isoformat()
    if type(value) is not TYPES[kind]:
        raise ParamsError(name, value, f"must be {kind}", file=file)
    if isinstance(value, float) and not math.isfinite(value):
        raise ParamsError(name, value, "must be finite", file=file)
    if isinstance(value, str) and not _storable(value):
        raise ParamsError(name, value, "must be text without NUL or lone surrogates", file=file)
    return value


def _storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


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
            if _SECRET.search(node.target.id):
                raise ParamsError(
                    node.target.id, "…", "secrets come from the environment", file=file
                )
            if kind not in TYPES:
                raise ParamsError(node.target.id, kind, f"types: {', '.join(TYPES)}", file=file)
            found[node.target.id] = kind
    return found
