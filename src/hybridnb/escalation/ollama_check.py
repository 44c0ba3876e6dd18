"""Is the local reasoner ready? Version, model, weights, memory: asked before it is needed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridnb.domain import Outcome
from hybridnb.escalation.ollama_reply import full_name, refusal
from hybridnb.escalation.openai_reply import Reading
from hybridnb.escalation.strict_json import WrongShape, strict_object

if TYPE_CHECKING:
    from hybridnb.escalation.ollama_settings import OllamaSettings
    from hybridnb.escalation.wire import Taken

GIGABYTE = 1_000_000_000
LEAST_VRAM = 8 * GIGABYTE  # free, for the layers that go there
LEAST_RAM = 4 * GIGABYTE  # free, for the rest
PATIENCE = 5.0  # seconds for the driver's own tool

Get = Callable[[str, float], "Taken"]


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that are free; None where nobody can tell."""

    ram: int | None = None
    vram: int | None = None


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a start-up check found.

    Attributes
    ----------
    version, digest : str
        Of the server and of the model's weights; empty where not told.
    size : int or None
        Of the weights, bytes.
    loaded : bool
        The model is in memory already; its memory isn't free, and needn't be.
    context : int or None
        Tokens that the loaded model has.
    memory : Memory
    problem, remedy : str
        Why it can't be asked, and what to do; empty when it can.
    warnings : tuple of str
        What will make it slow.
    """

    version: str = ""
    digest: str = ""
    size: int | None = None
    loaded: bool = False
    context: int | None = None
    memory: Memory = field(default_factory=Memory)
    problem: str = ""
    remedy: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        return not self.problem


def pull(model: str) -> str:
    """The command that fetches a model."""
    return f"ollama pull {model}"


def check(settings: OllamaSettings, get: Get, memory: Memory | None = None) -> Readiness:
    """Ask a server for its version, the model, its weights, and what is loaded.

    Parameters
    ----------
    settings : OllamaSettings
    get : callable
        One GET: a path and seconds.
    memory : Memory, optional
        What is free; unknown without it, and then nothing is warned of.

    Returns
    -------
    Readiness
    """
    memory = memory or Memory()
    version = _asked(get, "/api/version", settings.check_s)
    if isinstance(version, Reading):
        problem = f"no Ollama at {settings.host}: {version.detail}"
        return Readiness(memory=memory, problem=problem, remedy="ollama serve")
    told = {"version": str(version.get("version", "")), "memory": memory}
    tags = _asked(get, "/api/tags", settings.check_s)
    if isinstance(tags, Reading):
        problem = f"its models aren't told: {tags.detail}"
        return Readiness(**told, problem=problem, remedy="ollama list")  # type: ignore[arg-type]
    card = _card(tags, settings.model)
    if card is None:
        problem = f"the model {settings.model} isn't there"
        return Readiness(**told, problem=problem, remedy=pull(settings.model))  # type: ignore[arg-type]
    running = _asked(get, "/api/ps", settings.check_s)
    live = None if isinstance(running, Reading) else _card(running, settings.model)
    return _judged(settings, card=card, live=live, told=told)


def _judged(
    settings: OllamaSettings,
    *,
    card: Mapping[str, Any],
    live: Mapping[str, Any] | None,
    told: Mapping[str, Any],
) -> Readiness:
    digest = _digest(card)
    problem = remedy = ""
    if settings.digest and digest != settings.digest:
        problem = f"the weights of {settings.model} are {digest}; pinned are {settings.digest}"
        remedy = f"{pull(settings.model)}, or pin the new digest after an evaluation"
    context = _count((live or {}).get("context_length"))
    return Readiness(
        **told,
        digest=digest,
        size=_count(card.get("size")),
        loaded=live is not None,
        context=context,
        problem=problem,
        remedy=remedy,
        warnings=() if live is not None else _shortage(told["memory"]),
    )


def _shortage(memory: Memory) -> tuple[str, ...]:
    wanted = (("VRAM", memory.vram, LEAST_VRAM), ("RAM", memory.ram, LEAST_RAM))
    return tuple(
        f"{free / GIGABYTE:.1f} GB of {kind} free; {least / GIGABYTE:.0f} GB are expected"
        for kind, free, least in wanted
        if free is not None and free < least
    )


def digest_in(content: bytes, model: str) -> str | Reading:
    """The digest of a model's weights in what `/api/tags` says; empty: the model isn't there."""
    tags = _object(content)
    if isinstance(tags, Reading):
        return tags
    card = _card(tags, model)
    return "" if card is None else _digest(card)


def free_memory() -> Memory:
    """What is free on this machine: RAM from the kernel, VRAM from the driver's own tool."""
    try:
        ram = free_ram(Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        ram = None  # another kernel
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return Memory(ram=ram)  # no such card, or its driver doesn't answer
    return Memory(ram=ram, vram=free_vram(told.stdout))


def free_ram(meminfo: str) -> int | None:
    """Bytes that Linux could give to a new process: MemAvailable of /proc/meminfo, in kiB there."""
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        amount = value.split()[:1]
        if name == "MemAvailable" and amount and amount[0].isdigit():
            return int(amount[0]) * 1024
    return None


def free_vram(table: str) -> int | None:
    """Bytes that are free on the emptiest card: one line of MiB for each."""
    cards = [int(line) for line in table.split() if line.isdigit()]
    return max(cards) * (1 << 20) if cards else None


def _asked(get: Get, path: str, seconds: float) -> Mapping[str, Any] | Reading:
    taken = get(path, seconds)
    if taken.fault is not None:
        return Reading(taken.fault, taken.detail)
    if taken.status != 200:
        return refusal(taken.status or 0, taken.content)
    return _object(taken.content)


def _object(content: bytes) -> Mapping[str, Any] | Reading:
    try:
        return strict_object(content)
    except WrongShape as error:
        return Reading(Outcome.WRONG_SHAPE, f"the response is {error}")
    except ValueError as error:
        return Reading(Outcome.NOT_JSON, f"the response is no JSON ({error})")


def _card(listing: Mapping[str, Any], model: str) -> Mapping[str, Any] | None:
    """What a list of models says of one."""
    cards = listing.get("models")
    for card in cards if isinstance(cards, list) else []:
        names = (card.get("model"), card.get("name")) if isinstance(card, dict) else ()
        if any(isinstance(n, str) and full_name(n) == full_name(model) for n in names):
            return dict(card)
    return None


def _digest(card: Mapping[str, Any]) -> str:
    told = card.get("digest")
    return told.removeprefix("sha256:")[:100] if isinstance(told, str) else ""


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
