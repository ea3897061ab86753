"""Whether a version's contents are acceptable: asks dag_check.py, a process of its own under limits."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dag_protocol import ProtocolError

CHECKER = Path(__file__).with_name("dag_check.py")
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}  # of the content itself


class Undecided(Exception):
    """The check was not done in its time, or was killed: that says nothing about the content."""


@dataclass(frozen=True)
class Limits:
    """How long the check of a version's contents may take. What takes longer is not refused: it is tried again.

    Args:
        cpu: seconds of CPU for a file.
        wall: seconds in all.
        niceness: of the child that checks.
    """

    cpu: int = 10
    wall: float = 60.0
    niceness: int = 0


def check_contents(folder: Path, paths: list[str], limits: Limits) -> None:
    """Hold the files to the rules for content, in a child under limits (dag_check.py).

    Raises:
        ProtocolError: a file breaks a rule, or crashes what reads it.
        Undecided: it took too long, or something else ended the child.
    """
    command = [sys.executable, "-I", str(CHECKER), str(folder), str(limits.cpu), str(limits.niceness)]
    try:
        done = subprocess.run(
            command, input="\n".join(paths).encode("utf-8", "surrogateescape"), capture_output=True, timeout=limits.wall, check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Undecided(f"{_last_file(error.stderr)}: not checked within {limits.wall:.0f} seconds") from None
    told = done.stdout.decode(errors="replace").strip()
    if done.returncode == 1 and told:
        raise ProtocolError(told)
    if -done.returncode in CRASHES:
        raise ProtocolError(
            f"{_last_file(done.stderr)}: does not compile: it ended the compiler (status {done.returncode})"
        )
    if done.returncode:
        raise Undecided(told or f"{_last_file(done.stderr)}: the check was ended (status {done.returncode})")


def _last_file(told: bytes | None) -> str:
    """The last words of a check that was killed: the file that it was at."""
    return (told or b"").decode(errors="replace").split("\n")[0].rsplit("\r", 1)[-1]
