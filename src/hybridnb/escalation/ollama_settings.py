"""What an operator says of the local model, and how long a prompt may be."""

from __future__ import annotations

import unicodedata
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from hybridnb.policy import Params, Positive

TEMPLATE_TOKENS = 64  # of a chat template's own marks around two messages and a reply's start


class OllamaSettings(Params):
    """Which model is asked, where, and with which options."""

    model: str = Field(
        "qwen2.5:14b-instruct",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]{0,99}$",
        description="name and tag at the server",
    )
    host: str = Field("http://127.0.0.1:11434", description="where the server listens")
    digest: str = Field(
        "", pattern=r"^([0-9a-f]{64})?$", description="of the weights; empty: any, but recorded"
    )
    num_ctx: int = Field(8192, ge=512, le=1 << 20, description="context, tokens")
    num_gpu: int = Field(35, ge=0, le=1_000, description="layers on the GPU")
    num_batch: int = Field(512, ge=1, le=1 << 16, description="prompt tokens at once")
    num_thread: int = Field(8, ge=1, le=1_024, description="threads of the processor")
    temperature: float = Field(0.0, ge=0, le=2, description="0: the likeliest token each time")
    seed: int = Field(7, ge=0, le=(1 << 31) - 1, description="of the sampling")
    keep_alive: str = Field(
        "5m", pattern=r"^[0-9]{1,5}(s|m|h)$", description="how long the model stays loaded"
    )
    connect_s: Positive = Field(5.0, le=60, description="to connect at most, seconds")
    check_s: Positive = Field(5.0, le=60, description="of a start-up check's request, seconds")
    max_bytes: int = Field(1 << 22, ge=1 << 12, le=1 << 22, description="of a response at most")

    @field_validator("host")
    @classmethod
    def _plain(cls, host: str) -> str:
        parts = urlsplit(host)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("http or https and a host")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("a host without user, password, query or fragment")
        return host.rstrip("/")

    @model_validator(mode="after")
    def _batch_fits(self) -> OllamaSettings:
        if self.num_batch > self.num_ctx:
            raise ValueError("num_batch <= num_ctx")
        return self

    def options(self, max_tokens: int) -> dict[str, Any]:
        """Everything that bears on a reply, as the API names it."""
        return {
            "num_ctx": self.num_ctx,
            "num_gpu": self.num_gpu,
            "num_batch": self.num_batch,
            "num_thread": self.num_thread,
            "temperature": self.temperature,
            "seed": self.seed,
            "num_predict": max_tokens,
        }


def most_tokens(*texts: str) -> int:
    """Tokens that a chat of these messages can have at most.

    A token of a byte-level vocabulary (Qwen, Llama 3, GPT) stands for one byte or more, and one
    with byte fallback (Llama 2, Gemma) for one byte or more but its leading space. So the bytes
    of the text bound the tokens, whatever the text is; a ratio measured on English doesn't, for
    digits and other scripts. Vocabularies that normalise may lengthen a text: the longer counts.
    """
    forms = [(text, unicodedata.normalize("NFC", text)) for text in texts]
    sizes = [max(len(form.encode(errors="replace")) for form in pair) for pair in forms]
    return sum(sizes) + TEMPLATE_TOKENS
