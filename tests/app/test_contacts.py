"""Contacts: read from parameters, shown with what they reach; wrong ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridnb.app.contacts import FILE, ROLES, contact_rows, read_contacts, who
from hybridnb.app.home import shipped
from hybridnb.errors import ParamsError


def written(folder: Path, text: str) -> Path:
    (folder / FILE).write_text(text, encoding="utf-8")
    return folder


def test_the_shipped_ones_are_all_there_and_plainly_examples() -> None:
    found = read_contacts(shipped("params"))
    for role in ROLES:
        each = found.of(role)
        assert each is not None and each.example, role
        assert "nobody is reached" in who(found, role)


def test_your_own_are_no_examples(tmp_path: Path) -> None:
    text = "engineering: {name: Desk, addresses: [desk@bank.test, '+1 416 555 0199']}\n"
    found = read_contacts(written(tmp_path, text.replace("555 0199", "777 1234")))
    assert found.engineering is not None and not found.engineering.example
    assert who(found, "engineering") == "engineering: Desk, desk@bank.test"
    assert contact_rows(found)[1] == ("risk management", "not set", "–", "–")
    assert "not set" in who(found, "data_provider")
    found = read_contacts(written(tmp_path, text))
    assert found.engineering is not None and found.engineering.example


def test_no_file_is_no_contact(tmp_path: Path) -> None:
    assert {row[1] for row in contact_rows(read_contacts(tmp_path))} == {"not set"}


@pytest.mark.parametrize(
    "text",
    [
        "manager: {name: x, addresses: [a@b.test]}",
        "engineering: {name: x, addresses: []}",
        "engineering: {name: x, addresses: [nowhere]}",
        "engineering: {name: x, addresses: ['javascript:alert(1)']}",
        "engineering: {name: x, addresses: ['http://plain.test']}",
        "engineering: {name: x, addresses: ['5551234']}",
        "engineering: {name: 'a | b', addresses: [a@b.test]}",
        'engineering: {name: "a\\nb", addresses: [a@b.test]}',
        "engineering: {name: x, addresses: [a@b.test], pager: 1}",
        "engineering: [",
    ],
)
def test_what_cant_be_meant_is_refused_by_its_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParamsError) as caught:
        read_contacts(written(tmp_path, text))
    assert caught.value.file == FILE
