"""Calls to a NameNode that always end: hdfs-native waits forever for a NameNode that no longer answers.

A NameNode that restarts is waited for: hdfs-native connects again for three minutes, and until the DataNodes have told
the NameNode what they hold it is in safe mode, which hdfs-native takes for a refusal. One that froze, or whose host is
gone, takes connections and answers nothing; then a job must fail, so that it can be repeated, and not hang.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoResultError
from itertools import islice
from typing import Any, TypeVar

from cxr_spark.storage.file_system import is_unreachable

Result = TypeVar("Result")

#: Seconds that an answer may take. It is longer than hdfs-native tries to connect, since its message is the better one.
_PATIENCE = 240.0
#: Seconds that an answer may take after a call that found no NameNode, until a call is answered again: a job that fails
#: still makes many calls.
_LITTLE_PATIENCE = 20.0
#: Seconds until a NameNode in safe mode is asked again.
_SAFE_MODE_PAUSE = 1.0
#: Seconds for a piece of a file, which DataNodes take, one after the other if some of them are lost.
_PIECE_PATIENCE = 900.0
#: Entries of a listing that are fetched in one call.
_BATCH = 1000
#: The message of hdfs-native for a call that was under way when the connection broke. Other calls it repeats itself.
_INTERRUPTED = "RPC listener disconnected"
#: Calls that do no harm when they are made twice; what the Store creates has a name that nobody else knows.
_REPEATABLE = frozenset(
    {"get_file_info", "get_content_summary", "read", "create", "mkdirs", "delete", "set_replication"}
)


class NoAnswerError(TimeoutError):
    """A NameNode that does not answer."""


class NameNode:
    """An hdfs-native client, each of whose calls ends. A call that a restart interrupted is made again if it may be.

    Args:
        client: the client; all its methods can be called here.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._silent = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return self._answer(lambda: method(*arguments, **options))
            except ConnectionResetError:
                if name not in _REPEATABLE:
                    raise
                return self._answer(lambda: method(*arguments, **options))

        return call

    def list_status(self, path: str, recursive: bool) -> Iterator[Any]:
        """Lists a folder."""
        listing = iter(self._client.list_status(path, recursive))
        while batch := self._answer(lambda: list(islice(listing, _BATCH))):
            yield from batch

    def rename(self, source: str, target: str, overwrite: bool) -> None:
        """Renames a file that nobody else knows of; the answer may get lost, but not whether it was done."""
        try:
            self._answer(lambda: self._client.rename(source, target, overwrite))
        except ConnectionResetError:
            try:
                self.get_file_info(source)
            except FileNotFoundError:  # it was done
                return
            self._answer(lambda: self._client.rename(source, target, overwrite))

    def _answer(self, call: Callable[[], Result]) -> Result:
        limit = _LITTLE_PATIENCE if self._silent else _PATIENCE
        deadline = time.monotonic() + limit
        while True:
            try:
                result = within(limit, call)
            except Exception as error:
                if is_unreachable(error):
                    self._silent = True
                    raise
                if _INTERRUPTED in str(error):
                    raise ConnectionResetError("the connection to the NameNode broke") from error
                if not is_starting(error):
                    raise
                if time.monotonic() > deadline:
                    raise NoAnswerError(f"the NameNode is in safe mode, {limit:.0f} s already") from error
            else:
                self._silent = False
                return result
            time.sleep(_SAFE_MODE_PAUSE)


def is_starting(error: Exception) -> bool:
    """Whether a NameNode refused a call only because it has just been started and waits for its DataNodes."""
    return "SafeModeException" in str(error)


def is_denied(error: Exception) -> bool:
    """Whether the NameNode refused a call for lack of a permission."""
    return isinstance(error, PermissionError) or "AccessControlException" in str(error)


def put_piece(call: Callable[[], Result]) -> Result:
    """Returns the result of a call that writes a piece of a file, or closes the file.

    Raises:
        NoAnswerError: the call did not end in time.
    """
    return within(_PIECE_PATIENCE, call)


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Returns the result of a call. A call that takes too long goes on in its own thread, and nobody waits for it.

    Raises:
        NoAnswerError: the call took longer than `seconds`.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="hdfs-call", daemon=True).start()
    try:
        return future.result(seconds)
    except NoResultError:
        if future.done():  # the call itself said so
            raise
        raise NoAnswerError(
            f"no answer from the NameNode in {seconds:.0f} s: run the job again when it is back"
        ) from None
