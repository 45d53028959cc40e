"""Settings that are loaded from a text or refused."""

from __future__ import annotations

from pathlib import Path

from cxr_spark.config import Settings, load_settings


def loaded(tmp_path: Path, text: str | bytes, *overrides: str) -> Settings:
    path = tmp_path / "settings.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_settings(str(path), overrides)
