"""What `validate-repository` tells beside links: files that end Airflow, folders that are no packages, and the packages."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dag_protocol as protocol
from airflow_dag_publisher import cli
from airflow_dag_publisher.repository import check_repository
from airflow_dag_publisher.validate import Code, validate_package
from scripts.pinned import ROOT
from tests.helpers.airflow_walk import airflows_walk
from tests.validate.cases import GOOD, archive, write

Command = Callable[..., tuple[int, str, str]]
OF_FINANCE = GOOD.replace("sales", "finance")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Command:
    """Runs `airflow-dag-publisher validate-repository` in this process."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["airflow-dag-publisher", "validate-repository", *map(str, words)])
        capfd.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capfd.readouterr()

    return run


def told(folder: Path) -> list[tuple[str, Code, str]]:
    return [(f.path, f.code, f.severity) for f in check_repository(folder).findings]


# --- files --------------------------------------------------------------------------------------------------------

ENDS_AIRFLOW = {"range": b"ok\n[z-a]\n", "backslash": b"x\\ # y\n", "not UTF-8": b"caf\xe9\n"}
ENDS_NOTHING = {
    "byte order mark": b"\xef\xbb\xbfold/\n",
    "stars": b"*a*a*a*a*a\n",
    "long line": b"x" * 1001,
    "brings back": b"!x\n",
}


@pytest.mark.parametrize("place", ["", "sales/dags/", "docs/deep/", "shared/"])
@pytest.mark.parametrize("data", (ENDS_AIRFLOW | ENDS_NOTHING).values(), ids=ENDS_AIRFLOW | ENDS_NOTHING)
def test_an_ignore_file_that_airflow_cannot_use_is_told_at_any_depth(data: bytes, place: str, tmp_path: Path):
    write(tmp_path, {"sales/dags/one.py": GOOD, f"{place}.airflowignore": data})
    assert told(tmp_path) == [(f"{place}.airflowignore", Code.IGNORE_FILE, "error")]
    if data in ENDS_AIRFLOW.values():
        with pytest.raises(Exception, match=r"bad character range|codec can\'t decode|Invalid git pattern"):
            airflows_walk(tmp_path)


def test_a_byte_order_mark_does_make_the_first_pattern_ignore_nothing(tmp_path: Path):
    write(tmp_path, {"old/one.py": GOOD, ".airflowignore": b"\xef\xbb\xbfold/\n"})
    assert airflows_walk(tmp_path) == [str(tmp_path / "old/one.py")]


def test_an_archive_is_told_wherever_it_is_and_however_large(tmp_path: Path):
    large = b"#" * protocol.MAX_FILE_BYTES + archive()
    write(tmp_path, {"sales/one.py": GOOD, "sales/book.xlsx": archive(), "docs/book.xlsx": large, "lib.whl": archive()})
    assert [f for f in told(tmp_path) if f[2] == "error"] == [
        (path, Code.ZIP_ARCHIVE, "error") for path in ("docs/book.xlsx", "lib.whl", "sales/book.xlsx")
    ]


def test_limits_of_size_only_warn_since_git_sync_has_none(tmp_path: Path):
    many = {f"sales/data/{n}.csv": "" for n in range(protocol.MAX_FILES)}
    write(tmp_path, {"sales/one.py": GOOD, "sales/big.py": b"#" * (protocol.MAX_PYTHON_BYTES + 1)} | many)
    for no_parse in (True, False):
        report = check_repository(tmp_path, "", None if no_parse else by_reading)
        expected = [("sales/big.py", Code.FILE_SIZE)] + ([] if no_parse else [("sales", Code.PACKAGE_SIZE)])
        assert report.errors == [] and {(f.path, f.code) for f in report.findings} == set(expected)


# --- folders ------------------------------------------------------------------------------------------------------


def test_a_folder_with_dags_must_be_named_as_a_package_and_others_need_not(tmp_path: Path):
    write(
        tmp_path,
        {"sales/one.py": GOOD, "Sales-EU/one.py": GOOD, ".old/one.py": GOOD, "email/one.py": GOOD,
         "My Docs/x.py": "", ".github/x.yaml": "", "json/x.py": "x = 1", "README.md": ""},
    )  # fmt: skip
    assert told(tmp_path) == [(name, Code.PACKAGE_NAME, "error") for name in (".old", "Sales-EU", "email")]


def test_a_folder_that_is_ignored_is_no_package(tmp_path: Path):
    write(tmp_path, {"sales/one.py": GOOD, "Old/one.py": GOOD, ".airflowignore": "Old/\n"})
    assert told(tmp_path) == []


@pytest.mark.parametrize("other", [{"sales_eu/one.py": GOOD}, {"sales_docs/x.md": ""}], ids=["a package", "any folder"])
def test_a_name_that_begins_with_another_one_is_told(other: dict[str, str | bytes], tmp_path: Path):
    """The cluster policy gives the ids of a folder's name to that folder, also where no DAG is in it."""
    write(tmp_path, {"sales/one.py": GOOD, **other})
    assert ("sales", Code.PACKAGE_NAME, "error") in told(tmp_path)


def test_names_that_differ_by_case_alone_are_told(tmp_path: Path):
    write(tmp_path, {"sales/one.py": GOOD, "docs/a.md": "", "Docs/b.md": "", "docs/A.md": ""})
    assert [(path, code) for path, code, _ in told(tmp_path)] == [
        ("docs", Code.NAME_CLASH),
        ("docs/a.md", Code.NAME_CLASH),
    ]


def test_a_dag_in_no_folder_is_only_warned_of(tmp_path: Path):
    write(
        tmp_path,
        {"sales/one.py": GOOD, "loose.py": GOOD, "setup.py": "x = 1", "gone.py": GOOD, ".airflowignore": "gone.py"},
    )
    assert told(tmp_path) == [("loose.py", Code.NO_PACKAGE, "warning")]


@pytest.mark.parametrize(
    "files", [{"README.md": ""}, {"sales/one.py": GOOD, ".airflowignore": "*\n"}], ids=["none", "all ignored"]
)
def test_a_repository_without_any_dag_would_take_everybody_s_away(files: dict[str, str | bytes], tmp_path: Path):
    write(tmp_path, files)
    assert told(tmp_path) == [(".", Code.NO_DAG, "error")]


# --- packages -----------------------------------------------------------------------------------------------------


def by_reading(package: str, files: Any, parsed: Any, others: Any) -> Any:
    return validate_package(package, files, other_packages=others, parse="never", inner="", parsed_files=parsed)


@pytest.mark.parametrize("parse", ["--parse", "--no-parse"])
def test_what_the_repository_s_own_ignore_file_leaves_out_is_not_parsed(parse: str, tmp_path: Path, command: Command):
    write(
        tmp_path,
        {"sales/one.py": "from sales.tests.lib import x\n" + GOOD, "sales/tests/lib.py": "x = 1",
         "sales/tests/test_one.py": "import sales  # airflow dag\n1 / 0\n", ".airflowignore": "/sales/tests/\n"},
    )  # fmt: skip
    code, out, _ = command(tmp_path, parse)
    assert code == 0 and "0 errors, 0 warnings, 1 packages, 1 DAGs" in out


def test_each_package_is_validated_in_either_layout_also_what_a_link_brings(tmp_path: Path, command: Command):
    """Imports are by the path in the repository, whether or not there is a folder dags; a real Airflow agrees."""
    own = "from sales.dags.helpers.x import y  # airflow dag\n"
    write(
        tmp_path / "dags",
        {"sales/dags/one.py": own + GOOD, "sales/dags/helpers/x.py": "y = 1", "sales/dags/.gitkeep": "",
         "finance/one.py": "from finance.lib.x import y\n" + OF_FINANCE},
    )  # fmt: skip
    write(tmp_path / "shared", {"x.py": "y = 1"})
    (tmp_path / "dags/finance/lib").symlink_to("../../shared")
    code, out, err = command(tmp_path, "--sub-path", "dags", "--parse")
    assert (code, err) == (0, "") and "0 errors, 0 warnings, 2 packages, 2 DAGs; as it is on the disk; parsed by" in out


def test_what_is_wrong_in_a_package_is_told_by_its_path_in_the_repository(tmp_path: Path, command: Command):
    wrong = {
        "sales/dags/one.py": GOOD.replace("sales_good", "good"),
        "sales/dags/two.py": "import finance.dags.x\nimport sales.dags.y\n",
    }
    write(tmp_path / "dags", wrong | {"finance/three.py": OF_FINANCE})
    code, out, _ = command(tmp_path, "--sub-path", "dags/", "--no-parse", "--output", "json")
    document = json.loads(out)
    assert code == 1 and not document["ok"]
    assert [(f["path"], f["line"], f["code"]) for f in document["findings"]] == [
        ("dags/sales/dags/one.py", 3, "dag-id-prefix"),
        ("dags/sales/dags/two.py", 1, "foreign-import"),
        ("dags/sales/dags/two.py", 2, "unknown-module"),
    ]
    assert [p["package"] for p in document["packages"]] == ["finance", "sales"]
    code, out, _ = command(tmp_path, "--sub-path", "dags", "--no-dags")
    assert code == 0 and re.search(r"0 errors, 0 warnings; .*the DAGs were left out$", out.strip())


@pytest.mark.parametrize("words", [("gone",), (".", "--sub-path", "gone"), (".", "--sub-path", "../.."), ("one.py",)])
def test_a_folder_that_is_none_is_one_sentence(
    words: tuple[str, ...], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path, {"one.py": GOOD})
    monkeypatch.chdir(tmp_path)
    code, out, err = command(*words)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1 and err.startswith("airflow-dag-publisher: ")


def test_names_cannot_write_on_the_terminal(tmp_path: Path, command: Command):
    (tmp_path / "sales").mkdir()
    write(tmp_path, {"sales/one.py": GOOD})
    (tmp_path / "sales/\x1b[2J").symlink_to("gone\x1b")
    (tmp_path / "sales" / b"caf\xe9.sql".decode("utf-8", "surrogateescape")).write_text("")
    code, out, err = command(tmp_path, "--no-parse")
    assert code == 1 and "\x1b" not in out and "broken-link" in out and "unsafe-name" in out and not err


def test_the_examples_pass():
    report = check_repository(ROOT / "examples", "", by_reading)
    assert report.findings == () and {r.package for r in report.packages} == {"finance", "sales"}


def test_twenty_thousand_files_are_looked_at_in_seconds(tmp_path: Path):
    """And a clash of names among them, which the check of one package may look for in quadratic time."""
    for package in range(20):
        folder = tmp_path / f"team{package:02}"
        folder.mkdir()
        for n in range(1000):
            (folder / f"m{n}.py").write_text("x = 1\n")
        (folder / "dag.py").write_text(GOOD.replace("sales", folder.name))
    flat = tmp_path / "flat"
    flat.mkdir()
    for n in range(5000):
        (flat / f"{n}.sql").write_text("")
    write(flat, {"A.sql": "", "a.sql": "", "dag.py": GOOD.replace("sales", "flat")})
    began = time.process_time()
    report = check_repository(tmp_path)
    assert time.process_time() - began < 15  # 2 on a quiet machine
    assert [f.code for f in report.errors] == [Code.NAME_CLASH]
