"""Renders HTML pages with one frame and style (`page.html.j2`), with escaping, and with one way to write numbers."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from cxr_spark.reporting.numbers import FORMS
from cxr_spark.reporting.tables import cell_text

_CHANCE = 0.5


def environment(package: str, *scripts: str) -> Environment:
    """Returns the environment that renders a package's templates and `page.html.j2`, which they extend.

    Every value is escaped.

    Args:
        package: the dotted name of the package; its templates are in its folder `templates`.
        scripts: scripts of the package that pages run after the one of all pages, in this order, as paths within the
            package. They share their constants.
    """
    packages = dict.fromkeys((package, __package__))
    made = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in packages if name]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    made.filters |= {**FORMS, "words": FORMS["text"], "bar": _bar}
    made.globals |= {"cell": cell_text, **_script(package, scripts)}
    return made


def _script(package: str, own: Sequence[str]) -> dict[str, Any]:
    """Returns the page's script, and its hash for the page's security policy, which lets no other script run."""
    code = resources.files(__package__).joinpath("templates/page.js").read_text(encoding="utf-8")
    for path in own:
        code += resources.files(package).joinpath(path).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return {"script": code, "script_hash": digest}


def _bar(value: float) -> str:
    """Returns where an AUC lies between chance (0) and 1 (100)."""
    return f"{min(max((value - _CHANCE) / (1 - _CHANCE), 0.0), 1.0) * 100:.2f}"
