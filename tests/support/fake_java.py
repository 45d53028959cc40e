"""Javas that tell a version and do nothing else."""

from __future__ import annotations

from pathlib import Path

VERSIONS = {
    "17": 'openjdk version "17.0.9" 2023-10-17\nOpenJDK Runtime Environment (build 17.0.9+9)\n',
    "8": 'java version "1.8.0_392"\nJava(TM) SE Runtime Environment (build 1.8.0_392-b08)\n',
    "11": 'Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.21" 2023-10-17 LTS\n',
    "21": 'openjdk version "21" 2023-09-19\n',
    "25": 'openjdk version "25-ea" 2025-09-16\n',
    "7": 'java version "1.7.0_80"\n',
}


def fake_java(home: Path, version: str | None, status: int = 0) -> Path:
    """Makes a Java home whose `java -version` tells a version, or fails like macOS's stub."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True, exist_ok=True)
    text = VERSIONS[version] if version else "The operation couldn't be completed. Unable to locate a Java Runtime.\n"
    java.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{text}END\nexit {status}\n")
    java.chmod(0o755)
    return home
