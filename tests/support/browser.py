"""A headless Chromium that is driven over a pipe by the DevTools protocol, and what it sees of a page.

Nothing is installed for it but the browser, and nothing listens on a port.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_LONGEST = 120.0
#: The numbers by which Chromium knows keys.
_KEY_CODES = {"Tab": 9, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
#: Pairs of texts that cover each other by more than 2 pixels in both directions, as far as they can be seen.
_OVERLAPS = """(() => {
  const seen = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    if (!node.data.trim() || !node.parentElement.checkVisibility({ contentVisibilityAuto: true })) continue;
    const clip = node.parentElement.closest(".scroll, figure"), area = clip ? clip.getBoundingClientRect() : null;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const r of range.getClientRects()) {
      const left = area ? Math.max(r.left, area.left) : r.left, right = area ? Math.min(r.right, area.right) : r.right;
      if (right - left > 1 && r.height > 1) seen.push({ node, left, right, top: r.top, bottom: r.bottom });
    }
  }
  const found = [];
  for (let i = 0; i < seen.length; i++) for (let j = i + 1; j < seen.length; j++) {
    const a = seen[i], b = seen[j];
    if (a.node === b.node) continue;
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 2 && high > 4) found.push(a.node.data.trim().slice(0, 40) + " / " + b.node.data.trim().slice(0, 40));
  }
  return found;
})()"""
_TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass(frozen=True)
class Look:
    """What was seen of a page.

    Attributes:
        errors: errors of scripts, and what the page's policy refused.
        sideways: by how many pixels the page is wider than the window.
        overlaps: texts that lie on each other.
    """

    errors: list[str]
    sideways: int
    overlaps: list[str]


class Browser:
    """A running Chromium with one page."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._rest, self._number = send, receive, b"", 0
        self._session: str | None = None
        self._errors: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def look(self, page: Path, width: int = 1280, *, dark: bool = False) -> Look:
        """Opens a page in a window of some width, and returns what is seen."""
        self._errors.clear()
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", media="", features=[scheme])
        for uri in ("about:blank", page.as_uri()):  # the blank one, so that the same page again is told from before
            self._call("Page.navigate", url=uri)
            while self.value("document.readyState + ' ' + location.href") != f"complete {uri}":
                time.sleep(0.02)
        return Look(list(self._errors), self.value(_TOO_WIDE), self.overlaps())

    def overlaps(self) -> list[str]:
        """Returns the texts that lie on each other as the page is now."""
        return list(self.value(_OVERLAPS))

    def value(self, expression: str, *, wait: bool = False) -> Any:
        """Returns the JSON value of an expression in the page; with `wait` that of the promise that it gives."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=wait)
        return answer["result"].get("value")

    def point(self, x: float, y: float) -> None:
        """Moves the mouse to a place of the window, in CSS pixels."""
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, pointerType="mouse")

    def tap(self, x: float, y: float) -> None:
        """Touches a place of the window with a finger, and lifts it."""
        self._call("Emulation.setTouchEmulationEnabled", enabled=True)
        self._call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self._call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self._call("Emulation.setTouchEmulationEnabled", enabled=False)

    def press(self, key: str) -> None:
        """Presses and lets go of a key that has a name, such as `Tab` or `ArrowRight`."""
        code = _KEY_CODES[key]
        for kind in ("rawKeyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def lay_out_for_print(self) -> None:
        """Shows the page in the style in which it is printed, until the next look."""
        self._call("Emulation.setEmulatedMedia", media="print")

    def picture(self, target: Path) -> None:
        """Writes a picture of the whole page as PNG."""
        data = self._call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        target.write_bytes(base64.b64decode(data))

    def printed(self, target: Path) -> None:
        """Writes the page as it is printed, as PDF."""
        target.write_bytes(base64.b64decode(self._call("Page.printToPDF", printBackground=True)["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self._errors.append(str(told["exceptionDetails"].get("exception", {}).get("description", told)))
        elif event.get("method") == "Log.entryAdded" and told["entry"]["level"] == "error":
            self._errors.append(told["entry"]["text"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            read = os.read(self._receive, 1 << 20)
            if not read:
                raise RuntimeError("Chromium is gone")
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Runs Chromium with a profile of its own, and ends it."""
    to_child, from_child = os.pipe(), os.pipe()
    # High numbers, so that neither is in the way when the shell below makes them 3 and 4.
    theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 30) for fd in (to_child[0], from_child[1])]
    for fd in (to_child[0], from_child[1]):
        os.close(fd)
    shell = f'exec "$0" "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
    command = ["bash", "-c", shell, str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}"]
    process = subprocess.Popen(command, pass_fds=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for fd in theirs:
        os.close(fd)
    try:
        yield Browser(to_child[1], from_child[0])
    finally:
        for fd in (to_child[1], from_child[0]):
            os.close(fd)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        if process.poll() is None:
            process.kill()
            process.wait(timeout=_LONGEST)
