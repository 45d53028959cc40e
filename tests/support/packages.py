"""Tests that need a package which an older environment may lack are skipped, visibly."""

from __future__ import annotations

import importlib.util

import pytest

needs_simplejpeg = pytest.mark.skipif(
    importlib.util.find_spec("simplejpeg") is None, reason="simplejpeg is not installed"
)
