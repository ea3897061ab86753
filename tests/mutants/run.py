"""Changes the production code in a copy, one slip at a time, and sees a test fail: `make test-mutants`.

The list is mutants.yaml, the result result.yaml: which test noticed what, and the digests of what it ran on. A mutant
that was noticed before is tried on that one test first. A survivor fails the run: a test is missing.
"""

from __future__ import annotations

import hashlib
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.helpers.bounds import PART_ONLY

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutants.yaml")
RESULT = Path(__file__).with_name("result.yaml")
HEAD = "# Which test noticed each change of mutants.yaml: `make test-mutants`. What changed since is told by `make test`.\n"
CHANGES_TO = " ==> "
SECONDS = 600  # a mutant may hang a test; a Terraform plan on a busy machine takes its time
FAILED = re.compile(r"^FAILED (\S+::.+?)(?: - .*)?$", re.MULTILINE)  # an ERROR may be a server that did not start


class NotRun(Exception):
    """No test passed or failed; the text is the end of what pytest said."""


@dataclass(frozen=True)
class Mutant:
    """One change.

    Args:
        what: what the changed code does wrong.
        file: path from the root.
        old: text that is there once.
        new: what comes in its place.
        tests: folders and files whose tests are to notice, the likeliest first.
    """

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied_to(self, text: str) -> str:
        """The file's text with the change. Raises ValueError where it does not fit."""
        if (times := text.count(self.old)) != 1:
            raise ValueError(f"{self.file}: {self.old!r} is there {times} times, not once (tests/mutants/mutants.yaml)")
        return text.replace(self.old, self.new)

    def digest(self, root: Path) -> str:
        """Of all that its result is of in a checkout: the change, the file, the tests."""
        files = [root / self.file, *(file for place in self.tests for file in _python_files(root / place))]
        texts = [repr((self.what, self.old, self.new)).encode(), *(file.read_bytes() for file in files)]
        return hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in texts)).hexdigest()[:16]


def _python_files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def mutants() -> list[Mutant]:
    """All of mutants.yaml."""
    return [
        Mutant(
            what, group["file"], change.partition(CHANGES_TO)[0], change.partition(CHANGES_TO)[2], tuple(group["tests"])
        )
        for group in yaml.safe_load(LIST.read_text())
        for changes in (group.get("mutants", {}), group.get("outsider", {}))
        for what, change in changes.items()
    ]


def kept() -> dict[str, dict[str, str]]:
    """The result of the run before, by what each mutant does."""
    return yaml.safe_load(RESULT.read_text()) if RESULT.exists() else {}


def stale() -> list[str]:
    """Mutants whose result is of other code or other tests than these."""
    known = kept()
    return [one.what for one in mutants() if known.get(one.what, {}).get("digest") != one.digest(ROOT)]


class Copy:
    """A checkout of its own, with a Python that sees its sources and not ours.

    Args:
        folder: where to make it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip
        for name in listed.split("\0")[:-1]:
            if (ROOT / name).exists():  # else deleted and not committed yet
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
        self._make_python()

    def _make_python(self) -> None:
        """Ours has the publisher installed from our checkout; the copy's finds its own first, then all else in ours."""
        ours, its = ROOT / ".venv", self.folder / ".venv"
        base = (ours / "bin" / "python").resolve()
        subprocess.run([base, "-m", "venv", "--without-pip", its], check=True)
        [packages] = ours.glob("lib/python*/site-packages")
        [target] = its.glob("lib/python*/site-packages")
        sources = self.folder / "packages" / "airflow_dag_publisher" / "src"
        (target / "ours.pth").write_text(f"{sources}\n{packages}\n")
        for script in (ours / "bin").iterdir():
            if script.is_file() and not script.is_symlink() and not (its / "bin" / script.name).exists():
                text = script.read_bytes()
                shutil.copy2(script, its / "bin" / script.name)
                (its / "bin" / script.name).write_bytes(text.replace(bytes(ours), bytes(its)))

    def run(self, *tests: str) -> str | None:
        """Run the tests till one fails. Its name, or None when none does. Raises NotRun."""
        command = [self.folder / ".venv" / "bin" / "python", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
                   f"--timeout={SECONDS}", *tests]  # fmt: skip
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400", PART_ONLY: "1"}
        env["PATH"] = f"{self.folder}/.venv/bin:{env['PATH']}"
        done = subprocess.run(
            [str(word) for word in command], cwd=self.folder, env=env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode in (0, pytest.ExitCode.NO_TESTS_COLLECTED):  # the latter: all of them are exhaustive
            return None
        if failed := FAILED.search(done.stdout):
            return failed[1]
        raise NotRun(f"{' '.join(tests)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")

    def noticed(self, mutant: Mutant, before: str | None) -> str | None:
        """The test that notices it, `before` first, or None.

        Raises NotRun where no test noticed it, and some could not be begun or fail without the change as well: nobody knows.
        """
        file = self.folder / mutant.file
        text = file.read_text()
        not_run: NotRun | None = None
        for place in (*([before] if before else []), *mutant.tests):
            file.write_text(mutant.applied_to(text))
            try:
                found = self.run(place)
            except NotRun as error:
                found, not_run = None, None if place == before else error  # `before` may be there no more
            finally:
                file.write_text(text)
            if found and self.run(found) is None:
                return found
            if found:
                not_run = NotRun(f"{found} fails without the change as well")
        if not_run:
            raise not_run
        return None


@dataclass(frozen=True)
class Tried:
    """What came of a mutant: the test that noticed it or None, the digest of code and tests, and the seconds that it took."""

    mutant: Mutant
    noticed_by: str | None
    digest: str
    seconds: float
    not_run: str = ""  # why nobody knows


def tried(chosen: list[Mutant], known: dict[str, dict[str, str]], folder: Path) -> Iterator[Tried]:
    """Yield each as it is done, one a core, each in a copy of its own."""
    copies: queue.Queue[Copy] = queue.Queue()
    for number in range(min(os.cpu_count() or 2, 4)):
        copies.put(Copy(folder / str(number)))

    def one(mutant: Mutant) -> Tried:
        copy, began = copies.get(), time.monotonic()
        try:
            digest = mutant.digest(copy.folder)
            try:
                noticed_by, not_run = copy.noticed(mutant, known.get(mutant.what, {}).get("noticed by")), ""
            except NotRun as error:
                noticed_by, not_run = None, str(error)
            return Tried(mutant, noticed_by, digest, time.monotonic() - began, not_run)
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(copies.qsize()) as pool:
        for done in as_completed([pool.submit(one, mutant) for mutant in chosen]):
            yield done.result()


def write(results: dict[str, dict[str, Any]]) -> None:
    """In the order of mutants.yaml; what is not there any more is left out."""
    ordered = {one.what: results[one.what] for one in mutants() if one.what in results}
    RESULT.write_text(HEAD + yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=1000))


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also those whose code and tests are as they were.")
@click.argument("words", nargs=-1)
def main(everything: bool, words: tuple[str, ...]) -> None:
    """Try what changed since the result, or all; with WORDS, those whose text or file has one of them."""
    known, old = kept(), set(stale())
    chosen = [one for one in mutants() if everything or one.what in old]
    if words:
        chosen = [one for one in mutants() if any(word in one.what or word in one.file for word in words)]
    for one in chosen:  # before the first takes minutes
        one.applied_to((ROOT / one.file).read_text())
    survivors: list[str] = []
    unknown: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for done in tried(chosen, known, Path(folder)):
            what, test = done.mutant.what, done.noticed_by
            outcome = f"noticed by {test}" if test else "NOT TRIED" if done.not_run else "SURVIVED"
            click.echo(f"{done.seconds:6.1f} s  {what}: {outcome}{done.not_run and ': ' + done.not_run}")
            if test:
                known[what] = {"noticed by": test, "digest": done.digest}
            else:
                (unknown if done.not_run else survivors).append(what)
                known.pop(what, None)
            write(known)  # so that a run that is ended has not been for nothing
    told = [f"{len(survivors)} of {len(chosen)} changes were noticed by no test:", *survivors] if survivors else []
    told += (
        [f"{len(unknown)} could not be tried, since tests do not run here as they should:", *unknown] if unknown else []
    )
    if told:
        sys.exit("\n  ".join(told))
    click.echo(f"{len(chosen)} of {len(mutants())} changes tried, each noticed: {RESULT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
