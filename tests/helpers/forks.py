"""A program that is started once and forked for each use: it begins in milliseconds, and is a process that can be killed.

Run as a program this is the one that forks, a line of JSON a fork.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3

PYTHON_PATH = str(Path(__file__).parents[2] / "charts" / "airflow-platform" / "files")


class Forks:
    """Forks of a program, one at a time.

    Args:
        main: the function that is the program, as `module:name`.
        log: file for what the forks print.
        settings: variables of modules that it begins with, by `module:name`.
    """

    def __init__(self, main: str, log: Path, settings: Mapping[str, Any] | None = None) -> None:
        self.log = log
        self._lock = threading.RLock()  # a proxy's thread kills while the test's asks
        self._process = subprocess.Popen(
            [sys.executable, __file__, main, str(log), json.dumps(dict(settings or {}))],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": PYTHON_PATH},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        self.pid = 0
        self._ended: int | None = None

    def start(self, words: list[str], env: Mapping[str, str]) -> None:
        """Have a fork run with these arguments and no variables but these. The one before must have ended."""
        assert self._process.stdin
        self._ended = None
        self._process.stdin.write(json.dumps([words, dict(env)]).encode() + b"\n")
        self.pid = int(self._line())

    @property
    def ended(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        with self._lock:
            if self._ended is None and select.select([self._process.stdout], [], [], 0)[0]:
                self._ended = int(self._line())
            return self._ended

    def wait(self) -> int:
        """Until it has ended; its exit code."""
        with self._lock:
            if self._ended is None:
                self._ended = int(self._line())
            return self._ended

    def kill(self) -> None:
        """SIGKILL, if it runs still."""
        with self._lock:
            if self.ended is None:
                with contextlib.suppress(ProcessLookupError):  # ended, and on its way to be told
                    os.kill(self.pid, signal.SIGKILL)
                self.wait()

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"the program that forks ended with {self._process.wait()}"
        return line.decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def run(main: str, log: str, words: list[str], env: Mapping[str, str]) -> None:
    """Be the program, in a fork."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(env)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    module, _, name = main.partition(":")
    sys.argv = [module, *words]
    code: Any = 1
    try:
        code = getattr(import_module(module), name)()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


def fork_for_each_line(main: str, log: str, settings: Mapping[str, Any]) -> None:
    """Until standard input ends."""
    import_module(main.partition(":")[0])
    # The default session remembers the megabyte that describes S3, which each fork would read; and no credentials of these.
    boto3.client("s3", region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-")
    for place, value in settings.items():
        module, _, name = place.partition(":")
        setattr(import_module(module), name, value)
    for line in sys.stdin:
        words, env = json.loads(line)
        child = os.fork()
        if not child:
            run(main, log, words, env)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    fork_for_each_line(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
