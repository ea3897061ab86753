"""What reading alone can tell: each code by its smallest package."""

from __future__ import annotations

import sys

import pytest

from airflow_dag_publisher.validate import Code, Finding, validate_package
from tests.validate.cases import ELSEWHERE, GOOD, PARSE, STATIC, Case, write


def check(tmp_path, files, **options):
    return validate_package("sales", write(tmp_path, files), parse="never", **options)


@pytest.mark.parametrize("case", STATIC, ids=str)
def test_one_mistake_gives_one_finding_at_its_line(case: Case, tmp_path):
    report = check(tmp_path, case.files, other_packages=["finance", "sales"], dag_files=case.dag_files)
    assert [(f.path, f.code) for f in report.findings] == [(case.place[0], case.code)], list(map(str, report.findings))
    (finding,) = report.findings
    assert case.says in finding.message
    if case.place[1]:
        assert finding.line == case.place[1]


def test_every_code_has_a_case():
    assert {case.code for case in STATIC + PARSE} | ELSEWHERE == set(Code)


def test_a_finding_reads_as_file_line_code_message():
    assert str(Finding("a.py", 3, Code.CRON, "is odd")) == "a.py:3: cron is odd"
    assert str(Finding("a.xlsx", 1, Code.ZIP_ARCHIVE, "is a zip")) == "a.xlsx:1: zip-archive is a zip"


def test_all_mistakes_are_told_at_once(tmp_path):
    report = check(
        tmp_path,
        {
            "a.py": 'from airflow.sdk import DAG\nd = DAG("one", schedule="x", fail_stop=True)\n',
            "b.py": "def f(:\n",
            "c.py": b"\xff",
            "A.py": "",
            ".d": "",
        },
    )
    assert {f.code for f in report.errors} == {
        "dag-id-prefix", "cron", "removed-argument", "syntax", "not-text", "name-clash", "unsafe-name", "owner", "tags",
    }  # fmt: skip
    assert not report.warnings


@pytest.mark.parametrize(
    ("package", "others", "says"),
    [
        ("Sales", [], "lower-case"),
        ("../etc", [], "lower-case"),
        ("email", [], "Python module"),
        ("boto3", [], "Python module"),
        ("sales", ["sales_eu"], "'sales_eu'"),
        ("sales_eu", ["sales"], "'sales'"),
    ],
)
def test_a_package_name_that_cannot_be_is_refused_and_nothing_runs(package, others, says, tmp_path):
    files = write(tmp_path, {"dag.py": GOOD.replace("sales", package)})
    report = validate_package(package, files, other_packages=others, parse="auto")
    finding = next(f for f in report.errors if f.code == Code.PACKAGE_NAME)
    assert says in finding.message
    assert not report.parsed


def test_a_package_beside_one_of_a_longer_word_is_fine(tmp_path):
    assert check(tmp_path, {"dag.py": GOOD}, other_packages=["salesforce"]).ok


def test_too_many_files_are_refused(tmp_path):
    files = write(tmp_path, {"dag.py": GOOD})
    report = validate_package("sales", files | {f"{n}.sql": files["dag.py"] for n in range(2000)}, parse="never")
    assert [f.code for f in report.errors] == [Code.PACKAGE_SIZE]


def test_a_missing_file_is_told(tmp_path):
    files = write(tmp_path, {"dag.py": GOOD}) | {"gone.sql": tmp_path / "gone.sql", "folder": tmp_path}
    report = validate_package("sales", files, parse="never")
    assert [(f.path, f.code) for f in report.errors] == [("folder", Code.UNREADABLE), ("gone.sql", Code.UNREADABLE)]


def test_an_older_interpreter_says_that_it_knows_less(tmp_path):
    newer = f"3.{sys.version_info[1] + 1}"
    (warning,) = check(tmp_path, {"dag.py": GOOD}, python_version=newer).warnings
    assert warning.code == Code.PYTHON_VERSION
    assert f"run validate with Python {newer}" in warning.message


def test_syntax_newer_than_the_image_is_refused(tmp_path):
    report = check(tmp_path, {"dag.py": f"{GOOD}match 1:\n    case 1: pass\n"}, python_version="3.9")
    assert [(f.line, f.code) for f in report.errors] == [(5, Code.SYNTAX)]


def test_the_json_holds_all_that_the_report_does(tmp_path):
    import json

    report = check(tmp_path, {"dag.py": GOOD.replace("sales_good", "good")})
    document = json.loads(report.to_json())
    assert document["ok"] is False
    assert document["parsed"] is False
    assert document["dag_ids"] == {"good": "dag.py"}
    assert document["findings"][0] | {"message": ""} == {
        "path": "dag.py", "line": 3, "code": "dag-id-prefix", "message": "", "severity": "error",
    }  # fmt: skip


def test_a_module_of_the_current_folder_is_not_taken_for_one_of_the_image(tmp_path, monkeypatch):
    write(tmp_path, {"here_only.py": ""})
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    report = check(tmp_path, {"dag.py": f"import here_only\n{GOOD}"})
    assert [f.code for f in report.findings] == [Code.UNKNOWN_MODULE]


def test_an_id_that_the_environment_keeps_needs_no_prefix(tmp_path):
    files = {"dag.py": GOOD.replace("sales_good", "data_collection")}
    assert check(tmp_path, files, kept_ids=["data_collection"]).ok
    assert not check(tmp_path, files, kept_ids=["data"]).ok
