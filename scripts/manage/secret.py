"""Prints a secret that is made of one variable, for `kubectl create -f -`: to standard output and nowhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable


def print_secret(name: str, documents: Callable[[], dict[str, str]]) -> int:
    """Print it as JSON, which kubectl reads; return the exit code.

    Args:
        name: of the secret.
        documents: gives its keys, or raises ValueError with a sentence.
    """
    try:
        data = documents()
    except ValueError as error:
        print(f"manage.sh: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}))
    return 0
