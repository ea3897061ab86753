"""Checks the keys of tfvars files: Terraform drops a misspelt attribute in silence, and only warns of a misspelt variable.

    python -m scripts.manage.tfvars terraform/environment=terraform/packages.tfvars terraform/account=terraform/account/terraform.tfvars

Each file is for the root before it. A line on standard error for each wrong key, with file, line and the nearest that there is. Exit codes: 0 none, 1 some.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hcl2  # type: ignore[import-untyped]

from scripts.manage.terraform_files import input_paths


def wrong_keys(root: Path, file: Path) -> list[str]:
    """A sentence for each key of a tfvars file that the variables of a root do not have. Raises OSError."""
    known, text = input_paths(root), file.read_text()
    try:
        values = hcl2.loads(text)
    except Exception:  # its many kinds of syntax errors: Terraform says what is wrong, and better
        return []
    return [f"{file}:{_line(text, key)}: {said}" for key, said in _unknown(values, "", known)]


def _unknown(value: Any, path: str, known: set[str]) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict) or (path and not any(one.startswith(f"{path}.") for one in known)):
        return
    any_key = f"{path}.*" if path else ""
    for quoted, inner in value.items():
        key = quoted.strip('"')
        if key.startswith("__"):  # python-hcl2's own: comments
            continue
        at = any_key if any_key and any(one.startswith(f"{any_key}.") for one in known) else f"{path}.{key}".lstrip(".")
        if at == any_key or at in known:
            yield from _unknown(inner, at, known)
        else:
            here = f"{path}." if path else ""
            beside = [
                one.removeprefix(here) for one in known if one.startswith(here) and "." not in one.removeprefix(here)
            ]
            near = get_close_matches(key, beside, 1) or [", ".join(sorted(beside))]
            yield (
                key,
                f"`{key}` is no setting{f' of {path}' if path else ''}; {'the nearest is' if near[0] in beside else 'there are'} `{near[0]}`",
            )


def _line(text: str, key: str) -> int:
    found = re.search(rf'(?<![\w-])"?{re.escape(key)}"?\s*=', text)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def main(*pairs: str) -> int:
    """Check ROOT=FILE pairs, and print what is wrong."""
    wrong = [
        line for pair in pairs for root, _, file in [pair.partition("=")] for line in wrong_keys(Path(root), Path(file))
    ]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
