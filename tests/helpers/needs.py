"""Marks of tests that need a program that not every machine has."""

import shutil
import subprocess

import pytest

needs_terraform = [
    pytest.mark.terraform,
    pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not on PATH"),
]

UNSHARE = ("unshare", "--net")


def can_unshare() -> bool:
    """Whether a network namespace can be made here: it takes root, and a container that may."""
    try:
        return subprocess.run([*UNSHARE, "ip", "link"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


needs_namespaces = pytest.mark.skipif(not can_unshare(), reason="no network namespace can be made (unshare --net, ip)")
