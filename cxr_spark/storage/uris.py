"""What a path on a command line or in a settings file means, by the rules of Hadoop's own paths."""

from __future__ import annotations

import getpass
import os
import posixpath
import re

from cxr_spark.errors import UsageError

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):(//)?")
_CONTROL = re.compile(r"[\0\n\r]")
#: User and password before a host. A password with a slash is no valid one, and not to be shown all the same; what
#: follows a port is a path, which may have an @.
_CREDENTIALS = re.compile(r"(?<=://)(?:[^/\s]*|[^/\s@:]*:(?!\d+/)[^\s@]*)@")


def scheme_of(uri: str) -> str:
    """Returns the scheme of a URI, in lower case; `file` for a bare path."""
    found = _SCHEME.match(uri)
    return found.group(1).lower() if found else "file"


def authority_of(uri: str) -> str:
    """Returns host and port of a URI, or the bucket; empty for a bare path."""
    found = _SCHEME.match(uri)
    return uri[found.end() :].partition("/")[0] if found and found.group(2) else ""


def without_credentials(text: str) -> str:
    """Returns a text in which each URI has `***` in place of the user and the password before its host.

    >>> without_credentials("http://anna:secret@host:5000/path does not answer")
    'http://***@host:5000/path does not answer'
    """
    return _CREDENTIALS.sub("***@", text)


def resolve(path: str, default_fs: str = "file:///") -> str:
    """Turns what a user wrote into a full URI, as Hadoop does.

    A bare path belongs to the default file system; relative ones start at the working directory locally, and at
    `/user/NAME` elsewhere. Like Hadoop's paths (and unlike web addresses) nothing is percent-decoded.

    Args:
        path: a URI or a bare path.
        default_fs: Hadoop's `fs.defaultFS`.

    Returns:
        `scheme://authority/path` without a slash at the end.

    Raises:
        UsageError: the path is empty, has a NUL or a line break, or is a relative one behind a scheme.
    """
    if not path.strip() or _CONTROL.search(path):
        raise UsageError(f"path {path!r} is empty or has a control character: expected a URI or a file path")
    found = _SCHEME.match(path)
    if found is None:
        return _resolve_bare(path, default_fs)
    scheme, rest = found.group(1).lower(), path[found.end() :]
    if found.group(2) is None:  # file:/x, as Spark writes it
        if not rest.startswith("/"):
            raise UsageError(
                f"path {path!r}: expected {scheme}://... ; a local file whose name has a colon is written ./{path}"
            )
        authority, tail = "", rest
    else:
        authority, slash, tail = rest.partition("/")
        tail = slash + tail
    if scheme == "file":
        if authority not in ("", "localhost"):
            raise UsageError(f"path {path!r} names a host: a local path is written file:///folder/file")
        return f"file://{_normal(tail)}"
    if not authority and scheme == scheme_of(default_fs):
        authority = authority_of(default_fs)
    return f"{scheme}://{authority}{_normal(tail)}"


def join(uri: str, name: str) -> str:
    """Returns the URI of a file below a folder.

    Raises:
        ValueError: the name leads out of the folder.
    """
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"{name!r} leaves its folder {uri}")
    if not name:
        return uri
    return f"{uri}{name}" if uri.endswith("/") else f"{uri}/{name}"


def _resolve_bare(path: str, default_fs: str) -> str:
    scheme = scheme_of(default_fs)
    if scheme == "file":
        return f"file://{_normal(os.path.abspath(os.path.expanduser(path)))}"  # noqa: PTH100, PTH111 (Path drops `//`)
    absolute = path if path.startswith("/") else f"/user/{_user()}/{path}"
    return f"{scheme}://{authority_of(default_fs)}{_normal(absolute)}"  # Hadoop ignores a path in fs.defaultFS


def _user() -> str:
    """Returns the user's name as Hadoop's clients see it, where there is no Kerberos."""
    try:
        given = os.environ.get("HADOOP_USER_NAME") or os.environ.get("SPARK_USER")  # the second: a driver in YARN
        return given or getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        raise UsageError(
            "a relative path needs a user's name, and this user has none: give an absolute path, or set "
            "HADOOP_USER_NAME"
        ) from None


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))
