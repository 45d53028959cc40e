"""Image files that the storage does not give: which are set aside, and when the task fails instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_spark.errors import RunError, StorageAwayError
from cxr_spark.imaging import reading
from cxr_spark.imaging.reading import read_image_file
from cxr_spark.imaging.rejected import ImageRejected
from cxr_spark.preparation.headers import read_headers
from cxr_spark.storage.store import Store


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the file system raise errors, one a read, before it gives the file."""

    def make(*errors: Exception) -> None:
        left = list(errors)

        def opened(self: object, path: str) -> object:
            if left:
                raise left.pop(0)
            return Path(path).open("rb")

        monkeypatch.setattr("cxr_spark.storage.local.LocalFileSystem.open", opened)
        monkeypatch.setattr(reading, "_RETRY_AFTER", 0)

    return make


@pytest.fixture
def uri(tmp_path: Path) -> str:
    (tmp_path / "a.png").write_bytes(b"content")
    return f"file://{tmp_path}/a.png"


AWAY = [
    ConnectionRefusedError(111, "Connection refused"),
    OSError("No route to host (os error 113)"),
    TimeoutError("no answer"),
    OSError(116, "Stale file handle"),
    OSError(107, "Transport endpoint is not connected"),
    OSError("IO error: Stale file handle (os error 116)"),
    OSError(5, "Input/output error"),
    OSError(16, "Please reduce your request rate."),
]


@pytest.mark.parametrize("error", AWAY, ids=str)
def test_storage_that_is_away_fails_the_task(failing, uri, error):
    failing(error, error)
    with pytest.raises(StorageAwayError, match=r"cannot read file:///.*a\.png"):
        read_image_file(uri, 7)
    failing(error)
    assert read_image_file(uri, 7) == b"content"
    failing(error)
    with pytest.raises(StorageAwayError):
        list(read_headers([[uri]]))


def test_what_is_wrong_with_one_file_sets_it_aside(failing, uri):
    failing(PermissionError(13, "Permission denied"), PermissionError(13, "Permission denied"))
    with pytest.raises(ImageRejected, match=r"unreadable: cannot read .*: Permission denied"):
        read_image_file(uri, 7)


def test_a_fault_of_the_storage_is_tried_again_before_the_task_fails(failing, uri):
    failing(OSError(5, "Input/output error"))
    assert read_image_file(uri, 7) == b"content"


def test_storage_that_is_away_is_a_failed_run(failing, uri):
    failing(AWAY[0])
    with pytest.raises(RunError) as caught:
        Store(uri.removesuffix("a.png")).read_bytes("a.png")
    assert caught.value.exit_status == 4
