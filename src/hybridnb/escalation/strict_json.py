"""JSON as a stranger wrote it, read without mercy: one object, nothing twice, nothing infinite."""

from __future__ import annotations

import json
import math
from typing import Any


class WrongShape(ValueError):
    """JSON, but not an object."""


def strict_json(text: str | bytes) -> Any:
    """Parse JSON and refuse what Python's own parser lets through.

    Parameters
    ----------
    text : str or bytes
        Bytes are UTF-8.

    Returns
    -------
    object
        What the text says.

    Raises
    ------
    ValueError
        Not JSON, text after its end, NaN or infinity (1e999 too), a key twice in an object, half
        of a surrogate pair (it has no UTF-8), nesting beyond what can be read.
    """
    try:
        said = text.decode() if isinstance(text, bytes) else text
        value = json.loads(
            said, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite
        )
        if "\\u" in said:  # the only way by which half of a pair can come in
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeError as error:
        raise ValueError(f"not UTF-8: {error}") from None
    return value


def strict_object(text: str | bytes) -> dict[str, Any]:
    """The same, of an object.

    Raises
    ------
    WrongShape
        JSON of another kind.
    ValueError
        As `strict_json`.
    """
    value = strict_json(text)
    if not isinstance(value, dict):
        raise WrongShape(f"a JSON {type(value).__name__} where an object was asked for")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice in an object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("a number is larger than any that can be held")
    return value
