"""values/base.yaml with the checksum of the code that Airflow's pods mount from our chart, so that they roll when it changes."""

from __future__ import annotations

import hashlib
import re

from scripts.pinned import ROOT

FILES = ROOT / "charts" / "airflow-platform" / "files"
BASE = ROOT / "values" / "base.yaml"
CHECKSUM = re.compile(r'(checksum/airflow-platform: )"?[0-9a-f]+"?')


def code_checksum() -> str:
    """Of the files that Airflow's pods mount from our chart."""
    digest = hashlib.sha256()
    for file in sorted(FILES.glob("*.py")):
        digest.update(f"{file.name}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def base_with_checksum() -> str:
    """values/base.yaml as it is, with the checksum of today's code."""
    text, found = CHECKSUM.subn(rf'\g<1>"{code_checksum()}"', BASE.read_text())
    if found != 1:
        raise ValueError(f"{BASE.relative_to(ROOT)} has {found} lines with checksum/airflow-platform; it needs one.")
    return text
