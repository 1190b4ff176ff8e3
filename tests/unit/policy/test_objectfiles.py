"""The files of ConfigMaps and Secrets in a volume, as the kubelet makes them."""

from __future__ import annotations

import pytest

from emu.policy.kubelet.environment import Data, Kind
from emu.policy.kubelet.objectfiles import (
    Content,
    FilesOf,
    Item,
    MountError,
    ObjectFiles,
    contents,
    wrong_key,
    wrong_path,
)

OBJECTS: dict[Kind, Data] = {"ConfigMap": {"app": {"a": "1", "b": "2"}}, "Secret": {"db": {"a": "hidden"}}}


def test_each_key_is_a_file_of_its_name() -> None:
    """With the mode of the volume."""
    found = contents(ObjectFiles((FilesOf("ConfigMap", "app"),), 0o600), OBJECTS)
    assert found == {"a": Content(b"1", 0o600), "b": Content(b"2", 0o600)}


def test_items_choose_and_name_them() -> None:
    """Each may have a mode of its own; of two files at one path the later source's counts."""
    app = FilesOf("ConfigMap", "app", (Item("a", "conf/a.txt", 0o400), Item("b", "x")))
    found = contents(ObjectFiles((app, FilesOf("Secret", "db", (Item("a", "x"),)))), OBJECTS)
    assert found == {"conf/a.txt": Content(b"1", 0o400), "x": Content(b"hidden", 0o644)}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (FilesOf("ConfigMap", "none"), 'configmap "none" not found'),
        (FilesOf("Secret", "none"), 'secret "none" not found'),
        (FilesOf("ConfigMap", "app", (Item("c", "c"),)), "references non-existent config key: c"),
        (FilesOf("Secret", "db", (Item("c", "c"),)), "references non-existent secret key: c"),
    ],
)
def test_what_is_missing_is_said_in_the_kubelets_words(source: FilesOf, words: str) -> None:
    """And where it is optional there is no such file."""
    with pytest.raises(MountError) as refused:
        contents(ObjectFiles((source,)), OBJECTS)
    assert str(refused.value) == words
    optional = FilesOf(source.kind, source.name, source.items, optional=True)
    assert contents(ObjectFiles((optional,)), OBJECTS) == {}


@pytest.mark.parametrize("path", ["", "/etc/x", "a/../../b", "..data"])
def test_a_path_out_of_the_volume_is_refused(path: str) -> None:
    """As the API server does."""
    assert wrong_path(path)
    assert not wrong_path("a/b..c")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("tls.key", []),
        ("..", ["must not be '..'"]),
        ("..data", ["must not start with '..'"]),
        ("k" * 254, ["must be no more than 253 characters"]),
    ],
)
def test_a_key_is_the_name_of_a_file(key: str, words: list[str]) -> None:
    """As the API server has it."""
    assert wrong_key(key) == words


@pytest.mark.parametrize("key", ["../../etc/cron.d/x", "a/b", "", "a b"])
def test_a_key_leads_out_of_no_volume(key: str) -> None:
    """Files are made as root, so a key with a slash is refused before."""
    assert "a valid config key must consist of" in wrong_key(key)[0]
