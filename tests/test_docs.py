"""Documents agree with the code they speak of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from hybridnb.app.cli import cli
from hybridnb.app.docs import DOCUMENTS, TABLES, compiled
from hybridnb.app.postures import POSTURES
from hybridnb.policy import Policy, policy_values, validated

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_tables_are_those_of_the_code(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert compiled(text) == text, "run: python -m hybridnb.app.docs"


def test_every_table_stands_in_a_document() -> None:
    asked = {
        found
        for name in DOCUMENTS
        for found in re.findall(r"<!-- begin (\w+) -->", (ROOT / name).read_text(encoding="utf-8"))
    }
    assert asked == set(TABLES)


def test_readme_is_short_and_starts_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    first = "\n".join(lines[:25])
    assert "make day" in first and "make test" in first


def test_links_and_paths_in_documents_exist() -> None:
    for name in DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        for path in re.findall(r"`((?:src|params|tests|notebooks)/[\w/.]*)`", text):
            assert (ROOT / path).exists(), f"{name} names {path}"


def test_shipped_policy_is_the_default_with_every_key() -> None:
    values = yaml.safe_load((ROOT / "params/policy.yml").read_text(encoding="utf-8"))
    assert validated(Policy, values, file="policy.yml").id == Policy().id
    assert {k: set(v) if isinstance(v, dict) else v for k, v in values.items()} == {
        k: set(v) if isinstance(v, dict) else v for k, v in policy_values(Policy()).items()
    }


def test_documents_name_no_machine_and_no_registry() -> None:
    for path in [*ROOT.glob("*.md"), *ROOT.glob("params/*.yml"), ROOT / "pyproject.toml"]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(?:home|root|work|tmp)/|https?://[\w.]*pypi", text), path


def test_runbook_shows_every_golden_file_byte_for_byte() -> None:
    runbook = (ROOT / "RUNBOOK.md").read_bytes()
    files = sorted((ROOT / "tests/escalation/golden").glob("*.json"))
    assert len(files) == 9
    for path in files:
        assert b"```json\n" + path.read_bytes() + b"```\n" in runbook, path.name


def test_every_alert_of_a_posture_is_the_specification_s_text() -> None:
    assert [each.alert for each in POSTURES] == [
        "Data feed interrupted—holding positions",
        "Local reasoner offline—using RL-only mode",
        "RL models unavailable—reduced position sizing",
        "GPT-5 unavailable—using local reasoner",
        "Kill-switch armed—flattened; Demo tomorrow unless override",
        "Demo quarantine activated—GPT-5 override required",
        "",
    ]


def test_runbook_s_page_on_escalation_is_short_and_names_commands_that_exist() -> None:
    text = (ROOT / "RUNBOOK.md").read_text(encoding="utf-8")
    page = text[text.index("## Escalation\n") : text.index("## Evidence\n")]
    assert page.count("\n") <= 60
    named = {found.split()[0] for found in re.findall(r"`hybridnb ([\w -]+)", page)}
    assert named <= set(cli.commands), named - set(cli.commands)
    alerts = text[text.index("## Alerts\n") : text.index("## Incidents\n")]
    for alert in filter(None, (each.alert for each in POSTURES)):
        assert f"`{alert}`" in alerts, alert


def test_the_runbook_names_commands_that_exist() -> None:
    text = (ROOT / "RUNBOOK.md").read_text(encoding="utf-8")
    named = {found.split()[0] for found in re.findall(r"`(?:\w+=\S+ )?hybridnb ([\w -]+)", text)}
    assert named <= set(cli.commands), named - set(cli.commands)
