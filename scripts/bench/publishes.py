"""How long the publisher's command line takes, validation in its three degrees."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from scripts.bench import rig
from scripts.bench.rig import BUCKET, ENVIRONMENT, measured
from scripts.local.s3_servers import S3Server


def publishes(server: S3Server, folder: Path, files: dict[str, bytes], repeats: int) -> list[dict[str, Any]]:
    """Wall time of the command line, from start to end, on a package of this layout's size; one file changes."""
    source = folder / "source" / "timed" / "dags"
    source.mkdir(parents=True)
    for path, data in files.items():
        (source / path).write_bytes(data.replace(b"team000", b"timed"))
    base = [str(rig.BIN / "airflow-dag-publisher"), "publish", "--bucket", BUCKET, "--environment", ENVIRONMENT,
            "--package-name", "timed", "--dags-dir", str(source)]  # fmt: skip
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(repeats):
        for name, options in (("validated, with a real parse", ["--parse"]), ("validated statically", ["--no-parse"]),
                              ("not validated", ["--no-validate"])):  # fmt: skip
            (source / "data.txt").write_text(f"{name} {number}\n")
            done = measured([*base, *options], server.endpoint)
            if done.status != 0:
                raise RuntimeError(f"publish ended with {done.status}: {done.output[-2000:]}")
            times[name].append(done.wall)
    return [{"command": name, "n": repeats, "seconds": round(median(values), 2)} for name, values in times.items()]
