"""A PostgreSQL of its own on loopback, where the programs are installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


def _program(name: str) -> str | None:
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(debian[-1]) if debian else shutil.which(name)


@contextmanager
def running(settings: Mapping[str, str] = {}, logins: str = "") -> Iterator[str | None]:
    """Yield the URL of an empty database, or None when PostgreSQL cannot be started here.

    Args:
        settings: of postgresql.conf.
        logins: pg_hba.conf; empty: anybody on this machine.
    """
    initdb, server = _program("initdb"), _program("postgres")
    if not initdb or not server:
        yield None
        return
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}  # it refuses root
    with tempfile.TemporaryDirectory(prefix="bench-pg-") as name:
        folder, log = Path(name) / "data", subprocess.DEVNULL
        if user:
            os.chown(name, NOBODY, NOBODY)
        made = subprocess.run(
            [initdb, "-D", str(folder), "-U", "airflow", "-A", "trust"],
            cwd=name,
            stdout=log,
            stderr=log,
            check=False,
            **user,
        )  # type: ignore[call-overload]
        if made.returncode:
            yield None
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if logins:
            (folder / "pg_hba.conf").write_text(logins)
        given = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = [server, "-D", str(folder), "-h", "127.0.0.1", "-p", str(port), "-k", name, *given]
        process = subprocess.Popen(command, cwd=name, stdout=log, stderr=log, **user)  # type: ignore[call-overload]
        try:
            yield f"postgresql://airflow@127.0.0.1:{port}/postgres" if _answers(port) else None
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _answers(port: int, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            time.sleep(1)  # it refuses for a moment while it starts
            return True
    return False
