"""Listings of folders: their order, links, and what cannot be read."""

from __future__ import annotations

import os
import time
from pathlib import Path

import fsspec
import pytest

from cxr_spark.errors import RunError
from cxr_spark.storage.store import Store


def test_listing_is_sorted_and_has_hidden_names(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for name in ("b/2", "b/1", "a", "_x/.y", ".z", "b.txt"):
        store.write_bytes(name, b"12")
    assert [info.name for info in store.files()] == [".z", "_x/.y", "a", "b.txt", "b/1", "b/2"]
    assert [info.name for info in store.files(recursive=False)] == [".z", "a", "b.txt"]
    assert [info.name for info in store.files("b")] == ["b/1", "b/2"]
    assert store.names() == [".z", "_x", "a", "b", "b.txt"]
    info = next(iter(store.files("b")))
    assert (info.uri, info.size) == (f"file://{tmp_path}/b/1", 2)
    assert abs(info.modified - time.time()) < 60


def test_listing_follows_links_and_ends(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "x").write_bytes(b"1")
    root = tmp_path / "root"
    root.mkdir()
    (root / "one").symlink_to(tmp_path / "disk")
    (root / "two").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "up").symlink_to(root)  # leads back above
    (root / "self").symlink_to(".")
    assert [info.name for info in Store(str(root)).files()] == ["one/x", "two/x"]


def test_listing_tells_of_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to("nothing")
    (tmp_path / "x").write_bytes(b"1")
    assert [(info.name, info.size) for info in Store(str(tmp_path)).files()] == [("gone.png", 0), ("x", 1)]
    assert not Store(str(tmp_path)).exists("gone.png")


def test_listing_passes_over_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "x").write_bytes(b"1")
    assert [info.name for info in Store(str(tmp_path)).files()] == ["x"]


def test_listing_does_not_pass_over_an_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:  # root, who may run the tests, can read everything
        if path.endswith("secret"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(RunError, match=r"^cannot list file://.*: Permission denied"):
        list(Store(str(tmp_path)).files())


@pytest.mark.parametrize("flat", [False, True])
def test_a_folder_of_an_object_store_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch, flat: bool) -> None:
    store = Store("memory://listing")
    for name in ("open/x", "secret/y", "z"):
        store.write_bytes(name, b"1")
    kind = fsspec.get_filesystem_class("memory")
    whole = kind.ls

    def refuse(self: object, path: str, *arguments: object, **options: object) -> object:
        if path.rstrip("/").endswith("secret"):
            raise PermissionError(13, "Access Denied")
        return whole(self, path, *arguments, **options)

    def refuse_all(*_: object, **__: object) -> None:
        raise PermissionError(13, "Access Denied")

    assert [info.name for info in store.files()] == ["open/x", "secret/y", "z"]
    assert [info.name for info in store.files(recursive=False)] == ["z"]
    monkeypatch.setattr(kind, "ls", refuse)
    # Stores without real folders list all at once; the others inherit a listing that leaves out what fails.
    monkeypatch.setattr(kind, "find", refuse_all if flat else fsspec.spec.AbstractFileSystem.find)
    refused: list[str] = []
    assert [info.name for info in store.files(refused=refused)] == ["open/x", "z"]
    assert [path.rpartition("/")[2] for path in refused] == ["secret"]
    with pytest.raises(RunError, match="Access Denied"):
        list(store.files())
    monkeypatch.undo()
    store.delete()
