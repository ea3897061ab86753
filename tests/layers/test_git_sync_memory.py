"""What git needs for a large file, with the settings of the layer, against the memory limit of its container."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scripts.local.ports import free_port
from scripts.local.waiting import wait_for
from scripts.pinned import ROOT
from tests.policy.rules.registry import quantity

LAYER = yaml.safe_load((ROOT / "values/delivery/git-sync.yaml").read_text())["dags"]["gitSync"]
LIMIT = quantity(LAYER["resources"]["limits"]["memory"])
OWN = 64 * 1024**2  # for git-sync itself, which is written in Go: some 25 MiB were seen
SIZE = 48_000_000  # of a CSV
ME = ("-c", "user.name=t", "-c", "user.email=t@example.org")

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not on PATH")


def settings() -> tuple[str, ...]:
    """The layer's settings as options of git."""
    [text] = [entry["value"] for entry in LAYER["env"] if entry["name"] == "GITSYNC_GIT_CONFIG"]
    return tuple(word for pair in text.split(",") for word in ("-c", pair.replace(":", "=", 1)))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A repository with one large file, behind a server of its own."""
    folder = tmp_path_factory.mktemp("git")
    work, numbers = folder / "work", random.Random(1)
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main", work], check=True)
    with (work / "big.csv").open("w") as file:
        while file.tell() < SIZE:
            file.write("".join(f"{numbers.random()},{numbers.random()}\n" for _ in range(10_000)))
    subprocess.run(["git", "-C", work, "add", "."], check=True)
    subprocess.run(["git", "-C", work, *ME, "commit", "--quiet", "--message", "one"], check=True)
    port = free_port()
    command = [
        "git",
        "daemon",
        f"--base-path={folder}",
        "--export-all",
        f"--port={port}",
        "--listen=127.0.0.1",
        "--reuseaddr",
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    found = f"git://127.0.0.1:{port}/work"
    wait_for(lambda: subprocess.run(["git", "ls-remote", found], capture_output=True, check=False).returncode == 0)
    yield found
    os.killpg(server.pid, 15)
    server.wait()


# In a small process of its own: a child counts the memory of the process that it was forked from too.
MEASURE = """
import json, resource, subprocess, sys
for folder, words in json.loads(sys.argv[1]):
    subprocess.run(["git", *words], cwd=folder, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def largest(folder: Path, url: str, options: tuple[str, ...]) -> int:
    """Bytes of the largest process of a sync, done as git-sync does it."""
    root, tree = str(folder / "root"), str(folder / "tree")
    subprocess.run(["git", "init", "--quiet", root], check=True)
    steps = [
        (root, ("fetch", url, "main", "--quiet", "--prune", "--no-auto-gc", "--depth", "1")),
        (root, ("worktree", "add", "--force", "--detach", tree, "FETCH_HEAD", "--no-checkout")),
        (tree, ("reset", "--quiet", "--hard", "HEAD", "--")),
        (root, ("gc", "--quiet", "--prune=all")),
    ]
    asked = json.dumps([(place, [*options, *words]) for place, words in steps])
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", MEASURE, asked], capture_output=True, text=True, check=True
    )
    assert (folder / "tree" / "big.csv").stat().st_size >= SIZE
    return int(done.stdout.splitlines()[-1])


def test_a_large_file_fits_whatever_its_size(url: str, tmp_path: Path) -> None:
    """The container was killed at each sync of a CSV of 95 MB: its memory grew with the file."""
    peak = largest(tmp_path, url, settings())
    assert peak + OWN < LIMIT
    (tmp_path / "control").mkdir()
    assert largest(tmp_path / "control", url, ()) > 1.2 * peak, "without the settings it is more"
