"""Reasoners by name: built-in ones and those that other packages offer as `hybridnb.reasoners`.

`params/escalation.yml` names them and holds their settings; a key comes from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pydantic import SecretStr

from hybridnb.app.escalation_params import ReasonerParams
from hybridnb.app.settings import ESCALATION
from hybridnb.errors import Missing, UsageError
from hybridnb.policy import validated
from hybridnb.ports import Reasoner

GROUP = "hybridnb.reasoners"
BUILT_IN = ("ollama", "openai")
KEY = "OPENAI_API_KEY"

Open = Callable[[Mapping[str, Any]], Reasoner]


def known_reasoners() -> dict[str, str]:
    """Names with the place of their opener, built-in ones first to claim a name."""
    found = {e.name: e.value for e in entry_points(group=GROUP)}
    return found | {name: f"hybridnb.app.reasoners:{name}" for name in BUILT_IN}


def open_reasoner(params: ReasonerParams) -> Reasoner | None:
    """The reasoner that the parameters name, nothing asked yet; None where they name none.

    Raises
    ------
    UsageError
        When there is no reasoner of that name.
    ParamsError
        When its settings are wrong.
    Missing
        When its key isn't in the environment.
    """
    if not params.reasoner:
        return None
    places = known_reasoners()
    if params.reasoner not in places:
        raise UsageError(
            f"there is no reasoner {params.reasoner!r}",
            remedy=f"Name one of: {', '.join(sorted(places))}; or none, to ask nobody.",
        )
    module, _, function = places[params.reasoner].partition(":")
    opener: Open = getattr(import_module(module), function)
    return opener(params.settings)


def openai(settings: Mapping[str, Any]) -> Reasoner:
    """OpenAI's Responses API, or a server that speaks it."""
    from hybridnb.escalation.openai_api import OpenAiReasoner, OpenAiSettings

    chosen = validated(OpenAiSettings, dict(settings), file=ESCALATION)
    key = os.environ.get(KEY, "")
    if not key:
        raise Missing(
            f"the environment variable {KEY} isn't set",
            remedy=f"Set {KEY} in the environment of this command; never write it to a file.",
        )
    return OpenAiReasoner(chosen, key=SecretStr(key))


def ollama(settings: Mapping[str, Any]) -> Reasoner:
    """A local model behind Ollama."""
    from hybridnb.escalation.ollama_api import OllamaReasoner
    from hybridnb.escalation.ollama_settings import OllamaSettings

    return OllamaReasoner(validated(OllamaSettings, dict(settings), file=ESCALATION))
