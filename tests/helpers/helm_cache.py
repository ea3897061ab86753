"""What `helm template` gave for the same charts, files and words before: a render takes two seconds, and says the same each time.

Kept in the cache by the digest of all that goes in. Also a program that stands for helm: `helm_cache.py HELM template ...`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airflow-platform" / "renders"
KEPT_RENDERS = 500  # the oldest go
REFUSALS = ("execution error at", "values don't meet the specifications of the schema")
"""How helm says that charts and values are wrong; every other failure may be the machine's, and is not kept."""


def template(command: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, output and error of a `helm template`, from the cache if it is there."""
    kept = FOLDER / _digest(command)
    try:
        code, out, err = json.loads(kept.read_bytes())
        kept.touch()
        return code, out, err
    except (OSError, ValueError):
        pass
    code, out, err = made(command)
    refused = code == 1 and any(words in err for words in REFUSALS)
    # A refusal that names a file of this run would be told of another's.
    if code == 0 or (refused and not any(word in err for word in command if "/" in word)):
        _keep(kept, json.dumps([code, out, err]))
    return code, out, err


def made(command: Sequence[str]) -> tuple[int, str, str]:
    """The same without the cache."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def _digest(command: Sequence[str]) -> str:
    """Of the words, and in the place of a file or folder of what is in it; of helm by its name, size and time."""
    program = Path(command[0]).stat()
    lines = [line for word in command[1:] for line in (_contents(Path(word)) if "/" in word else [word])]
    helm = f"{Path(command[0]).name} {program.st_size} {program.st_mtime_ns}"
    return hashlib.sha256("\n".join([helm, *lines]).encode()).hexdigest()


def _contents(place: Path) -> Iterator[str]:
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    for file in files:
        if "__pycache__" in file.parts:  # Python of another process may be writing there
            continue
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
    kept = list(FOLDER.glob("[0-9a-f]*"))
    if len(kept) > KEPT_RENDERS:
        with contextlib.suppress(FileNotFoundError):  # another process tidies up as well
            for old in sorted(kept, key=lambda p: p.stat().st_mtime)[:-KEPT_RENDERS]:
                old.unlink()


if __name__ == "__main__":
    exit_code, output, error = template(sys.argv[1:])
    sys.stdout.write(output)
    sys.stderr.write(error)
    sys.exit(exit_code)
