"""What doctor says of a browser, the port and the contacts; none of them stops trading."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hybridnb.app import environment_checks as checks
from hybridnb.app.contacts import FILE
from hybridnb.app.doctor import examine
from hybridnb.app.environment_checks import environment_checks, port_check
from hybridnb.app.pdf import BROWSER


def test_a_port_is_free_until_somebody_listens() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        listening.listen()
        name, ok, told, remedy = port_check(port)
        assert (name, ok) == (f"port {port}", False) and "taken" in told and "--port" in remedy
    assert port_check(port)[1] is True


def test_without_a_browser_doctor_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BROWSER, "/nowhere")
    (found,) = [c for c in examine()[0]["checks"] if c["check"] == "chromium"]
    assert not found["ok"] and not found["required"] and "apt-get" in found["remedy"]


@pytest.mark.parametrize(
    ("text", "ok", "words"),
    [
        ("", False, "engineering, risk management, OpenAI support, data provider"),
        ("engineering: {name: D, addresses: [d@bank.test]}", False, "risk management, OpenAI"),
        ("engineering: [", False, "YAML"),
        (
            "\n".join(
                f"{role}: {{name: D, addresses: [d@bank.test]}}"
                for role in ("engineering", "risk_management", "openai_support", "data_provider")
            ),
            True,
            "all four",
        ),
    ],
)
def test_contacts_that_reach_nobody_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, ok: bool, words: str
) -> None:
    (tmp_path / FILE).write_text(text, "utf-8")
    monkeypatch.setattr(checks, "shipped", lambda name: tmp_path)
    (found,) = [told for told in environment_checks() if told[0] == "contacts"]
    assert found[1] is ok and words in found[2]
