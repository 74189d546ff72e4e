"""The catalogue: everything that ships is found, has a card, and matches it."""

import hashlib
from pathlib import Path

import pytest

from xai_views import catalogue
from xai_views.contract import registry
from xai_views.errors import XaiViewsError

NAMES = {f"{family}/{split}" for family in ("birds", "digits", "nuclei") for split in ("train", "test")}
NAMES |= {"birds-watermark/test", "photos", "ecg/train", "ecg/test", "ecg/mixed", "ecg/dicom"}


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """An empty data root for the test."""
    monkeypatch.setenv("XAI_VIEWS_DATA", str(tmp_path))
    return tmp_path


def folder(path: Path, card: str, **files: bytes) -> Path:
    path.mkdir(parents=True)
    (path / "card.yaml").write_text(card, "utf-8")
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def test_all_sample_sets_are_there():
    found = catalogue.samples()
    assert set(found) == NAMES
    assert all((p / "card.yaml").is_file() for p in found.values())


def test_what_ships_is_what_the_cards_say():
    for path in {*catalogue.samples().values(), *catalogue.models().values()}:
        assert catalogue.verify(path) == []


def test_cards_of_samples_say_where_they_come_from():
    for path in set(catalogue.samples().values()):
        card = catalogue.card(path)
        for key in ("name", "title", "classes", "synthetic", "licence", "origin", "command", "sha256"):
            assert key in card
        assert card["name"] == path.name
        listed = set(card["sha256"])
        assert {p.name for p in path.iterdir()} - {"card.yaml", "preview.png"} == listed
        assert (path / "preview.png").is_file() or path.name in ("photos", "ecg-dicom"), (
            "these stay in their packages"
        )


def test_cards_of_models_name_kind_family_and_method():
    for path in catalogue.models().values():
        card = catalogue.card(path)
        assert card["family"] == card["architecture"]["family"]
        assert card["family"] in registry.entries("families")
        assert card["method"] in registry.entries("methods")
        assert card["kind"] == ("signal" if path.name.startswith("ecg") else "image")


def test_every_set_has_a_family_that_an_entry_names():
    families = [registry.load("samples", name)() for name in registry.entries("samples")]
    assert {n for family in families for n in family.names} == NAMES
    assert all(set(family.made) <= set(family.names) for family in families)
    assert catalogue.sets()["birds/test"].names == ("birds/train", "birds/test")


def test_samples_stay_small():
    size = sum(p.stat().st_size for p in (catalogue.root() / "samples").rglob("*") if p.is_file())
    assert size < 16e6


def test_models_are_folders_with_a_card(data):
    folder(data / "models" / "b", "name: b")
    folder(data / "models" / "a", "name: a")
    (data / "models" / "unfinished").mkdir()
    assert catalogue.models() == {"a": data / "models" / "a", "b": data / "models" / "b"}
    assert catalogue.find("a") == data / "models" / "a"


def test_an_empty_root_has_nothing(data):
    assert catalogue.models() == {}
    assert catalogue.samples() == {}


def test_a_split_has_its_own_folder_or_that_of_the_family(data):
    folder(data / "samples" / "nuclei", "name: nuclei")
    folder(data / "samples" / "digits-test", "name: digits-test")
    assert catalogue.samples() == {
        "digits/test": data / "samples" / "digits-test",
        "nuclei/test": data / "samples" / "nuclei",
        "nuclei/train": data / "samples" / "nuclei",
    }


def test_a_card_may_name_a_list_of_classes(data):
    names = catalogue.card(folder(data / "x", "classes: imagenet"))["classes"]
    assert (len(names), names[:2]) == (1000, ["tench", "goldfish"])
    with pytest.raises(XaiViewsError, match="does not exist"):
        catalogue.card(folder(data / "y", "classes: ../catalogue.py"))


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(XaiViewsError, match="'birds/test'"):
        catalogue.find("bird/test")


@pytest.mark.parametrize("text", ["", "a list\n", "- a\n- b\n", "a: [", "42"])
def test_a_card_that_is_no_mapping(data, text):
    with pytest.raises(XaiViewsError, match="not a YAML mapping") as caught:
        catalogue.card(folder(data / "x", text))
    assert str(data) not in str(caught.value)


def test_a_card_cannot_run_code(data):
    path = folder(data / "x", "a: !!python/object/apply:os.getcwd []")
    with pytest.raises(XaiViewsError, match="not a YAML mapping"):
        catalogue.card(path)


def test_a_missing_card(data):
    with pytest.raises(XaiViewsError, match=r"has no card\.yaml"):
        catalogue.card(data)


def test_verify_names_what_is_missing_or_different(data):
    good = hashlib.sha256(b"good").hexdigest()
    path = folder(
        data / "x",
        f"sha256: {{a.npz: {good}, b.npz: {good}, c.npz: {good}}}",
        **{"a.npz": b"good", "b.npz": b"bad"},
    )
    different, missing = catalogue.verify(path)
    assert "x/b.npz does not match its card" in different
    assert "x/c.npz is missing" in missing


def test_verify_stays_in_its_folder(data):
    secret = hashlib.sha256(b"secret").hexdigest()
    (data / "secret").write_bytes(b"secret")
    path = folder(data / "x", f"sha256: {{../secret: {secret}}}")
    assert catalogue.verify(path) == ["x/secret is missing; restore it from its source."]


def test_verify_of_a_card_without_sums(data):
    assert catalogue.verify(folder(data / "x", "name: x")) == []
    assert "lists no sha256" in catalogue.verify(folder(data / "y", "sha256: abc"))[0]
