"""Marks of tests that need a program that not every machine has."""

import shutil

import pytest

needs_terraform = [
    pytest.mark.terraform,
    pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not on PATH"),
]
