"""What `helm template` gave for the same charts, files and words before: a render takes two seconds, and says the same each time.

Kept in the cache by the digest of all that goes in. Also a program that stands for helm: `helm_cache.py HELM template ...`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airflow-platform" / "renders"
MOST = 500  # kept; the oldest go


def template(command: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, output and error of a `helm template`, from the cache if it is there."""
    kept = FOLDER / _digest(command)
    try:
        code, out, err = json.loads(kept.read_bytes())
        kept.touch()
        return code, out, err
    except (OSError, ValueError):
        pass
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # A refusal that names a file of this run would be told of another's.
    if not any(word in done.stderr for word in command if "/" in word):
        _keep(kept, json.dumps([done.returncode, done.stdout, done.stderr]))
    return done.returncode, done.stdout, done.stderr


def _digest(command: Sequence[str]) -> str:
    """Of the words, and in the place of a file or folder of what is in it."""
    lines = [line for word in command[1:] for line in (_contents(Path(word)) if "/" in word else [word])]
    return hashlib.sha256("\n".join([Path(command[0]).name, *lines]).encode()).hexdigest()


def _contents(place: Path) -> Iterator[str]:
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    for file in files:
        if file.is_file():
            name = file.relative_to(place) if file != place else ""
            yield f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}"
        elif not place.is_dir():
            yield str(place)


def _keep(target: Path, text: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=FOLDER, prefix=".", delete=False) as file:
        file.write(text)
    Path(file.name).replace(target)
    kept = sorted(FOLDER.glob("[0-9a-f]*"), key=lambda p: p.stat().st_mtime)
    for old in kept[:-MOST]:
        old.unlink(missing_ok=True)


if __name__ == "__main__":
    exit_code, output, error = template(sys.argv[1:])
    sys.stdout.write(output)
    sys.stderr.write(error)
    sys.exit(exit_code)
