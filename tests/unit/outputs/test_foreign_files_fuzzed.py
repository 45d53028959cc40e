"""Runs that are killed anywhere, between changes by others: no file of others is ever changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_spark.errors import UsageError
from cxr_spark.outputs.claim import claim, write_status
from cxr_spark.outputs.mark import MARK_NAME
from cxr_spark.outputs.own_files import delete_strays
from cxr_spark.storage.store import Store
from tests.support.job_outputs import FOREIGN, WRITTEN, files, put, write_all
from tests.support.stores import folder_of

pytestmark = pytest.mark.usefixtures("fast_disk")


class Killed(BaseException):
    """As if the process were gone: nothing that follows in it is run, not even what cleans up."""


@contextmanager
def killed_after(writes: int) -> Iterator[None]:
    """Lets so many changes of storage happen, and none after."""
    left = writes
    names = ("write_bytes", "delete", "create_exclusive", "remove_folder")
    whole = {name: getattr(Store, name) for name in names}

    def counted(name: str) -> Any:
        def change(self: Store, path: str = "", *arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left <= 0:
                raise Killed
            left -= 1
            return whole[name](self, path, *arguments, **options)

        return change

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(Store, name, counted(name))
        yield


NAMES = st.lists(
    st.sampled_from([*FOREIGN, *(f"x/{i}" for i in range(3))])
    | st.builds(
        "/".join,
        st.lists(
            st.sampled_from(["data", "model", "split=train", "checkpoints", "images_001", "layers", "q", "_staged"]),
            min_size=1,
            max_size=3,
        ).map(lambda parts: [*parts, "own.txt"]),
    ),
    max_size=6,
    unique=True,
)


STEPS = st.lists(
    st.tuples(
        NAMES,  # files that somebody puts there before the run
        st.booleans(),  # --overwrite
        st.booleans(),  # whether the job clears what a killed run left
        st.integers(1, 2),  # settings
        st.none() | st.integers(0, 40),  # when it is killed
    ),
    min_size=1,
    max_size=5,
)


@given(job=st.sampled_from(sorted(WRITTEN)), steps=STEPS, around=NAMES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_foreign_file_is_ever_changed(
    job: str, steps: list[Any], around: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("property")
    store = Store(str(folder / "out"))
    foreign = put(folder / "beside", around)
    has_run = False
    for names, overwrite, clears, value, kill in steps:
        if has_run:  # before the first run the folder would be refused
            foreign |= put(folder_of(store), names)
        with killed_after(10**6 if kill is None else kill):
            try:
                with claim(store, job, {"value": value}, overwrite) as claimed:
                    if claimed.finished is None:
                        if clears:
                            claimed.clear()
                        write_all(claimed, job)
                        delete_strays(store, job, WRITTEN[job][0][:1])
                        write_all(claimed, job)
                        claimed.done({})
                write_status(store, job, {"exit_status": 0})
            except (Killed, UsageError):
                pass
        for lock in folder_of(store).glob("_lock.*"):  # the process lives, so its lock would count
            lock.unlink()
        has_run = has_run or store.exists(MARK_NAME)
        assert {path: path.read_bytes() for path in foreign} == foreign
    # What is left of the job is found again, whenever it was killed.
    if store.exists(MARK_NAME):
        with claim(store, job, {"value": 3}, True):
            left = {name for name in files(folder_of(store)) if not name.startswith("_lock")}
        assert {folder_of(store) / name for name in left} - set(foreign) == {folder_of(store) / MARK_NAME}
        assert {path: path.read_bytes() for path in foreign} == foreign
