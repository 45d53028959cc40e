"""Where a URI leads: two ways to write one place become one, so that places can be compared.

Two URIs can mean one folder though they differ: by symbolic links, by the case of scheme and host, by a default port,
by the names of a pair of NameNodes, or because a viewfs mounts one on the other.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from cxr_spark.storage.uris import authority_of, resolve, scheme_of

#: Spark setting that says that every node mounts the local folders which jobs name.
SHARED_LOCAL = "spark.cxr.sharedLocal"
#: Hadoop's port of a NameNode.
_NAME_NODE_PORT = "8020"
#: S3 has three schemes in Hadoop and one in fsspec.
_SCHEMES = {"s3a": "s3", "s3n": "s3"}
#: A mount table can lead to another one; a circle of them leads nowhere.
_MOST_MOUNTS = 10
_GLOB = re.compile(r"[*?\[{]")


def is_on_every_node(uri: str, master: str, shared: str) -> bool:
    """Whether every node can read a place.

    Args:
        uri: full URI of the place.
        master: Spark master URL.
        shared: value of the Spark setting `spark.cxr.sharedLocal`, in any case as Spark's own truth values are.
    """
    return scheme_of(uri) != "file" or master.startswith("local") or shared.strip().lower() == "true"


def place_of(uri: str, hadoop: Mapping[str, str] | None = None) -> str:
    """Returns the one way to write the place that a URI means.

    Args:
        uri: a resolved URI.
        hadoop: Hadoop's settings, for viewfs and for pairs of NameNodes.

    Returns:
        A URI. What it leads to need not be there.
    """
    hadoop = hadoop or {}
    for _ in range(_MOST_MOUNTS):
        if scheme_of(uri) != "viewfs":
            break
        mounted = _mounted(uri, hadoop)
        if mounted is None:
            break
        uri = mounted
    scheme, authority, path = _parts(uri)
    if scheme == "file":
        return "file://" + os.path.realpath(path)
    if scheme == "hdfs":
        authority = _name_node(authority or authority_of(hadoop.get("fs.defaultFS", "")), hadoop)
    return f"{_SCHEMES.get(scheme, scheme)}://{authority.lower()}{path}"


def contains(folder: str, uri: str, hadoop: Mapping[str, str] | None = None) -> bool:
    """Whether a resolved URI is a folder or lies below it, as it is written or where it leads to.

    On local disks a folder is also recognised where it is mounted a second time, and where case makes no difference.
    """
    if _is_below(uri, folder):
        return True
    inner, outer = place_of(uri, hadoop), place_of(folder, hadoop)
    if _is_below(inner, outer):
        return True
    if scheme_of(inner) != "file" or scheme_of(outer) != "file":
        return False
    try:
        wanted = os.stat(_parts(outer)[2])  # noqa: PTH116
    except OSError:
        return False
    return any(os.path.samestat(found, wanted) for found in _stats_upwards(_parts(inner)[2]))


def glob_reaches(pattern: str, folder: str, hadoop: Mapping[str, str] | None = None) -> bool:
    """Whether a glob can match a folder, one above it, or a file below it.

    Args:
        pattern: a resolved URI that may have wildcards; see `cxr_spark.imaging.listing.find_images`.
        folder: a resolved URI.
        hadoop: Hadoop's settings.
    """
    scheme, authority, path = _parts(pattern)
    first = _GLOB.search(path)
    if first is None:
        return False
    root = path[: first.start()].rpartition("/")[0]
    outer = place_of(f"{scheme}://{authority}{root or '/'}", hadoop).rstrip("/")
    inner = place_of(folder, hadoop).rstrip("/")
    if not _is_below(inner, outer):
        return False
    return _can_meet(path[len(root) + 1 :].split("/"), [part for part in inner[len(outer) :].split("/") if part])


def links_below(uri: str) -> Iterator[tuple[str, bool]]:
    """Gives where the symbolic links below a local folder lead, those behind other links too.

    Yields:
        A resolved URI, and whether all below it is reached. Of a link to a file it is the folder of that file, once for
        all links there.
    """
    if scheme_of(uri) != "file":
        return
    waiting, seen = [os.path.realpath(_parts(uri)[2])], set()
    folders_of_files: set[str] = set()
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_symlink():
                        target = os.path.realpath(entry.path)
                        if entry.is_dir():
                            yield "file://" + target, True
                            waiting.append(target)
                        elif (parent := posixpath.dirname(target)) not in folders_of_files:
                            folders_of_files.add(parent)
                            yield "file://" + parent, False
        except OSError:  # a file, or not to be read: whoever reads the input says so
            continue


def _parts(uri: str) -> tuple[str, str, str]:
    scheme, authority = scheme_of(uri), authority_of(uri)
    return scheme, authority, uri.partition("://")[2][len(authority) :] or "/"


def _is_below(inner: str, outer: str) -> bool:
    return f"{inner.rstrip('/')}/".startswith(f"{outer.rstrip('/')}/")


def _stats_upwards(path: str) -> Iterator[os.stat_result]:
    for each in (path, *map(str, Path(path).parents)):
        try:
            yield os.stat(each)  # noqa: PTH116
        except OSError:
            continue


def _mounted(uri: str, hadoop: Mapping[str, str]) -> str | None:
    """Returns what a viewfs URI leads to by its mount table; None where the table does not say."""
    _, authority, path = _parts(uri)
    prefix = f"fs.viewfs.mounttable.{authority or authority_of(hadoop.get('fs.defaultFS', '')) or 'default'}."
    table = {key[len(prefix) :]: value for key, value in hadoop.items() if key.lower().startswith(prefix.lower())}
    links = {posixpath.normpath(key[len("link.") :]): value for key, value in table.items() if key.startswith("link.")}
    best = max((link for link in links if _is_below(path, link)), key=len, default=None)
    target, rest = (links[best], path[len(best.rstrip("/")) :]) if best else (table.get("linkFallback"), path)
    target = target or table.get("linkMergeSlash")
    return None if target is None else resolve(f"{target.rstrip('/')}/{rest.strip('/')}")


def _name_node(authority: str, hadoop: Mapping[str, str]) -> str:
    """Returns a NameNode without the default port; one of a pair by the name of the pair."""
    host = authority.lower().removesuffix(f":{_NAME_NODE_PORT}")
    for service in hadoop.get("dfs.nameservices", "").split(","):
        name = service.strip()
        for node in hadoop.get(f"dfs.ha.namenodes.{name}", "").split(","):
            address = hadoop.get(f"dfs.namenode.rpc-address.{name}.{node.strip()}", "")
            if address and address.lower().removesuffix(f":{_NAME_NODE_PORT}") == host:
                return name
    return host


def _can_meet(glob: list[str], path: list[str]) -> bool:
    """Whether some path that a glob matches is the given one, lies above it or lies below it."""
    if not glob or not path:
        return True
    if "**" in glob[0]:
        return True
    return _matches(glob[0], path[0]) and _can_meet(glob[1:], path[1:])


def _matches(glob: str, name: str) -> bool:
    """Whether one part of a glob can match a name; braces, which may hold slashes, are taken to match anything."""
    if "{" in glob or "}" in glob:
        return re.match(re.escape(glob.partition("{")[0].split("*")[0].split("?")[0].split("[")[0]), name) is not None
    regex = re.sub(r"\\\[(!?)([^\]]*)\\\]", lambda m: f"[{'^' if m[1] else ''}{m[2]}]", re.escape(glob))
    regex = regex.replace(r"\*", ".*").replace(r"\?", ".")
    try:
        return re.fullmatch(regex, name, re.DOTALL) is not None
    except re.error:
        return True  # the reader of the glob says what is wrong with it
