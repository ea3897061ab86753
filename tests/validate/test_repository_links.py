"""Links in a repository: whatever `validate-repository` lets through, Airflow's own walk gets to its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from airflow_dag_publisher.repository import check_repository
from airflow_dag_publisher.validate import Code
from tests.helpers.airflow_walk import airflows_walk
from tests.validate.cases import GOOD

LINKS = {Code.LINKED_FOLDER, Code.BROKEN_LINK, Code.OUTSIDE_LINK}


def airflow_walks(folder: Path) -> list[str] | None:
    """The files that Airflow comes to; None where its walk ends in an error, and the dag-processor with it."""
    try:
        return sorted(os.path.relpath(file, folder) for file in airflows_walk(folder))
    except RuntimeError as error:
        assert "Detected recursive loop" in str(error)
        return None


def make(folder: Path, files: dict[str, str], links: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for path, target in links.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(target)
    return folder


def told(folder: Path, sub_path: str = "") -> dict[str, Code]:
    """What is said of links, by their path."""
    return {f.path: f.code for f in check_repository(folder, sub_path).errors if f.code in LINKS}


SHARED = {"dags/sales/one.py": GOOD, "dags/finance/two.py": GOOD, "shared/sql/q.sql": ""}
ENDS = {
    "two links to one folder": ({"dags/sales/common": "../../shared", "dags/finance/common": "../../shared"}, "dags/sales/common"),
    "a link to another package": ({"dags/sales/common": "../finance"}, "dags/sales/common"),
    "a link to its own folder": ({"dags/sales/loop": "."}, "dags/sales/loop"),
    "a link to the DAGs folder": ({"dags/sales/loop": "../../dags"}, "dags/sales/loop"),
    "a link to the repository": ({"dags/sales/loop": "../.."}, "dags/sales/loop/dags"),
    "a folder and one in it": ({"dags/finance/a": "../../shared", "dags/sales/b": "../../shared/sql"}, "dags/sales/b"),
    "a link to a link": ({"dags/sales/a": "../../shared", "dags/sales/b": "a"}, "dags/sales/b"),
    "a hidden folder": ({"dags/.old/common": "../sales"}, "dags/.old/common"),
}  # fmt: skip


@pytest.mark.parametrize("links, path", ENDS.values(), ids=ENDS)
def test_a_folder_that_airflow_comes_to_twice_is_told_and_does_end_its_walk(
    links: dict[str, str], path: str, tmp_path: Path
):
    make(tmp_path, SHARED, links)
    assert airflow_walks(tmp_path / "dags") is None
    found = told(tmp_path, "dags")
    assert set(found.values()) == {Code.LINKED_FOLDER}
    assert path in found or len(links) == 2  # of two links either


def test_links_that_lead_to_something_of_their_own_pass_and_are_walked(tmp_path: Path):
    make(tmp_path, SHARED, {"dags/sales/common": "../../shared", "dags/finance/q.sql": "../../shared/sql/q.sql"})
    assert told(tmp_path, "dags") == {}
    assert airflow_walks(tmp_path / "dags") == [
        "finance/q.sql",
        "finance/two.py",
        "sales/common/sql/q.sql",
        "sales/one.py",
    ]


def test_below_an_ignored_folder_links_are_refused_though_airflow_does_not_come_there(tmp_path: Path):
    """Stricter than Airflow: a pattern is changed more easily than links, and by whoever knows nothing of them."""
    make(tmp_path, SHARED | {"dags/.airflowignore": "old/\n"}, {"dags/old/a": "../sales", "dags/old/b": "../sales"})
    assert airflow_walks(tmp_path / "dags") is not None
    assert set(told(tmp_path, "dags")) == {"dags/old/a", "dags/old/b"}


@pytest.mark.parametrize(
    "target, code",
    [
        ("gone.sql", Code.BROKEN_LINK),
        ("link", Code.BROKEN_LINK),
        ("one.py/", Code.BROKEN_LINK),
        ("one.py/..", Code.BROKEN_LINK),
        ("../../..", Code.OUTSIDE_LINK),
        ("/opt/shared", Code.OUTSIDE_LINK),
        ("../../../{name}/shared", Code.OUTSIDE_LINK),
    ],
    ids=["gone", "itself", "a file as a folder", "back from a file", "above", "absolute", "out and in again"],
)
def test_a_link_that_leads_nowhere_or_out_is_told(target: str, code: Code, tmp_path: Path):
    """git-sync's copy has another name and place, so a way through the outside leads nowhere there."""
    make(tmp_path, SHARED, {"dags/sales/link": target.format(name=tmp_path.name)})
    assert told(tmp_path, "dags") == {"dags/sales/link": code}


@pytest.mark.parametrize("length", [40, 41])
def test_linux_follows_forty_links_and_no_more(length: int, tmp_path: Path):
    chain = {f"dags/sales/{n}": str(n + 1) for n in range(1, length)}
    make(tmp_path, SHARED, chain | {f"dags/sales/{length}": "../../shared/sql/q.sql"})
    broken = {path for path, code in told(tmp_path, "dags").items() if code == Code.BROKEN_LINK}
    assert broken == {str(p.relative_to(tmp_path)) for p in (tmp_path / "dags/sales").iterdir() if not p.exists()}
    assert bool(broken) is (length > 40)


# --- what git delivers --------------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-c", "protocol.file.allow=always", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_what_git_does_not_know_is_not_delivered(tmp_path: Path):
    """A virtual environment has `lib64 -> lib`, which alone would end Airflow's walk."""
    make(tmp_path, {"sales/one.py": GOOD, "new/.git/HEAD": ""}, {})
    git(tmp_path, "init")
    git(tmp_path, "add", "sales")
    make(tmp_path, {".venv/lib/x.py": ""}, {".venv/lib64": "lib", "sales/dead": "gone"})
    report = check_repository(tmp_path)
    assert report.errors == [] and report.note.startswith("as git has it")
    git(tmp_path, "add", "sales/dead")
    assert told(tmp_path) == {"sales/dead": Code.BROKEN_LINK}


def test_a_target_that_was_not_added_to_git_is_missed(tmp_path: Path):
    make(tmp_path, {"dags/sales/one.py": GOOD}, {"dags/sales/data": "../../shared"})
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    make(tmp_path, {"shared/q.sql": ""}, {})
    assert told(tmp_path, "dags") == {"dags/sales/data": Code.BROKEN_LINK}
    git(tmp_path, "add", ".")
    assert told(tmp_path, "dags") == {}


def test_links_that_a_checkout_made_text_of_are_links(tmp_path: Path):
    """Of a checkout on Windows, where links need a right."""
    source, copy = tmp_path / "source", tmp_path / "copy"
    make(source, {"sales/one.py": GOOD}, {"sales/again": "../sales"})
    git(source, "init")
    git(source, "add", ".")
    git(source, "commit", "-m", "x")
    git(tmp_path, "clone", "-c", "core.symlinks=false", "source", "copy")
    assert not (copy / "sales/again").is_symlink()
    assert told(copy) == {"sales/again": Code.LINKED_FOLDER}


def test_a_submodule_is_delivered_and_must_be_here(tmp_path: Path):
    main, lib = tmp_path / "main", tmp_path / "lib"
    make(main, {"dags/sales/one.py": GOOD}, {})
    make(lib, {"sql/q.sql": ""}, {"again": "sql"})
    for folder in (main, lib):
        git(folder, "init")
        git(folder, "add", ".")
        git(folder, "commit", "-m", "x")
    git(main, "submodule", "add", str(lib), "dags/lib")
    assert told(main, "dags") == {"dags/lib/again": Code.LINKED_FOLDER}
    git(main, "submodule", "deinit", "--force", "dags/lib")
    assert [(f.path, f.code) for f in check_repository(main, "dags").errors] == [("dags/lib", Code.UNREADABLE)]


@pytest.mark.parametrize(
    "named", [(".", "dags"), ("dags", ""), (".", "now")], ids=["sub-path", "itself", "through a link"]
)
def test_the_folder_may_be_named_in_each_way(named: tuple[str, str], tmp_path: Path):
    """A link out of the DAGs folder stays in the repository, which git-sync delivers whole."""
    make(tmp_path, SHARED, {"dags/sales/common": "../../shared", "now": "dags"})
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    assert check_repository(tmp_path / named[0], named[1]).errors == []


# --- any tree -----------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", ".c"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
TARGETS = st.lists(st.sampled_from(["..", "..", ".", "a", "b", ".c", "f"]), min_size=1, max_size=5).map("/".join)
PATTERNS = st.sampled_from(["a", "a/", "/a", "b/", "a/b", "**/b", "*.py", ".c"])


@st.composite
def trees(draw: st.DrawFn) -> Path:
    """A repository in a fresh folder whose folder `r` is the DAGs folder."""
    top = Path(tempfile.mkdtemp())
    repository = top / "repository"
    (repository / "r").mkdir(parents=True)
    for path in draw(st.lists(PATHS, max_size=5)):
        (repository / draw(st.sampled_from(["r", "r", "o"])) / path).mkdir(parents=True, exist_ok=True)
    folders = sorted(p for p in repository.rglob("*") if p.is_dir())
    for folder in draw(st.lists(st.sampled_from(folders), max_size=3)):
        (folder / "f").write_text("")
    for folder in draw(st.lists(st.sampled_from(folders), max_size=2)):
        (folder / ".airflowignore").write_text("\n".join(draw(st.lists(PATTERNS, max_size=2))))
    for folder, name, target in draw(
        st.lists(st.tuples(st.sampled_from(folders), NAMES, TARGETS), min_size=1, max_size=5)
    ):
        if not os.path.lexists(folder / name):
            (folder / name).symlink_to(target)
    return top


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(trees())
def test_nothing_passes_that_ends_airflow_and_what_is_refused_has_a_rule(top: Path):
    repository = top / "repository"
    try:
        found = told(repository, "r")
        walked = airflow_walks(repository / "r")
        if not found:
            event("passes")
            assert walked is not None
        elif walked is None:
            event("both refuse")
        else:  # what docs/reference/validation.md says beyond Airflow: links that lead nowhere or out, ignored folders
            event("refused by a stricter rule")
            for ignore_file in repository.rglob(".airflowignore"):
                ignore_file.unlink()
            assert airflow_walks(repository / "r") is None or Code.LINKED_FOLDER not in found.values()
    finally:
        shutil.rmtree(top)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_clone_that_git_does_not_read_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is on the disk is not what is delivered: a silent look at that would pass what git-sync brings."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    make(tmp_path / "clone", SHARED, {})
    subprocess.run(["git", "init", "--quiet", tmp_path / "clone"], check=True)
    os.chown(tmp_path / "clone", 1001, 1001)
    with pytest.raises(PermissionError, match=r"git config --global --add safe\.directory"):
        check_repository(tmp_path / "clone", "dags")
