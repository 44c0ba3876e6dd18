"""A seal holds what was sealed, or says what was changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.errors import InputError, Missing, Refused
from hybridnb.registry.artifacts import MANIFEST, open_sealed, seal

FILES = {"weights": b"\x00\x01", "raw": b"", "text": "né".encode()}
META = {"version": "abc", "kinds": {"short": "gru"}, "losses": [0.7, None]}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    seal(tmp_path / "models" / "one", FILES, META)
    return tmp_path / "models" / "one"


def test_what_was_sealed_comes_back(sealed: Path) -> None:
    assert open_sealed(sealed) == (META, FILES)


def test_manifest_names_the_sha_256_of_every_file(sealed: Path) -> None:
    manifest = json.loads((sealed / MANIFEST).read_text(encoding="utf-8"))
    assert set(manifest["files"]) == set(FILES)
    # FIPS 180-4: the digest of the empty message.
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert manifest["files"]["raw"] == empty


def test_equal_content_keeps_the_folder(sealed: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in sealed.iterdir()}
    again = seal(sealed, dict(reversed(FILES.items())), META)
    assert {p.name: p.stat().st_mtime_ns for p in sealed.iterdir()} == before
    assert again == seal(sealed.parent / "other", FILES, META)


@pytest.mark.parametrize(
    ("files", "meta"), [({**FILES, "raw": b"x"}, META), (FILES, {**META, "version": "abd"})]
)
def test_other_content_is_refused(
    sealed: Path, files: dict[str, bytes], meta: dict[str, object]
) -> None:
    with pytest.raises(Refused):
        seal(sealed, files, meta)
    assert open_sealed(sealed) == (META, FILES)


def test_a_folder_that_is_no_seal_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("keep")
    with pytest.raises(Refused):
        seal(tmp_path / "mine", FILES, META)
    assert (tmp_path / "mine" / "note").read_text() == "keep"


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "/etc/x", MANIFEST])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        seal(tmp_path / "one", {name: b""}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        seal(tmp_path / "one", {"a": b"1", "b": "text"}, {})  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_changed_file_is_named(sealed: Path, name: str) -> None:
    (sealed / name).write_bytes(FILES[name] + b"!")
    with pytest.raises(InputError) as caught:
        open_sealed(sealed)
    assert [b.file for b in caught.value.breaches] == [str(sealed / name)]


def test_a_missing_file_is_found_even_an_empty_one(sealed: Path) -> None:
    (sealed / "raw").unlink()
    with pytest.raises(InputError, match="raw"):
        open_sealed(sealed)


def test_an_added_file_is_found(sealed: Path) -> None:
    (sealed / "more").write_bytes(b"")
    with pytest.raises(InputError, match="more"):
        open_sealed(sealed)


def test_a_changed_meta_is_found(sealed: Path) -> None:
    path = sealed / MANIFEST
    path.write_text(path.read_text(encoding="utf-8").replace('"abc"', '"abd"'), encoding="utf-8")
    with pytest.raises(InputError, match="changed"):
        open_sealed(sealed)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"files": 1, "meta": 2}'])
def test_a_broken_manifest_is_an_input_error(sealed: Path, text: str) -> None:
    (sealed / MANIFEST).write_text(text)
    with pytest.raises(InputError):
        open_sealed(sealed)


def test_no_seal_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        open_sealed(tmp_path / "none")


@given(data=st.binary(min_size=1, max_size=64), bit=st.integers(min_value=0))
def test_any_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("seal") / "one"
    seal(folder, {"part": data}, {})
    flipped = bytearray(data)
    flipped[bit // 8 % len(data)] ^= 1 << bit % 8
    (folder / "part").write_bytes(bytes(flipped))
    with pytest.raises(InputError):
        open_sealed(folder)
