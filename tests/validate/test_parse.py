"""What only a run can tell, and that a run harms nobody. Airflow starts once for all files here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_dag_publisher.validate import Code, Limits, validate_package
from scripts.local.waiting import PATIENCE
from tests.validate.cases import PARSE, Case, write

LIMITS = Limits(seconds=90, import_seconds=1.5, file_seconds=4, memory=1024**3)

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_PROFILE": "prod",
    "CI_JOB_TOKEN": "secret",
    "AIRFLOW_CONN_PROD": "postgres://u:p@db/prod",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nonexistent/callers.db",
    "PYTHONPATH": "/nonexistent",
}

MARK = f"1000.{os.getpid()}"  # finds our own process among those of other test runs

HARMLESS = {
    "isolated.py": """
        import os, pathlib
        from airflow.configuration import conf
        from airflow.sdk import DAG
        secret = {"AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "CI_JOB_TOKEN", "AIRFLOW_CONN_PROD", "PYTHONPATH"}
        assert not secret & set(os.environ), secret & set(os.environ)
        assert not list(pathlib.Path.home().iterdir()), "HOME is not empty"
        assert "callers.db" not in conf.get("database", "sql_alchemy_conn")
        assert not conf.getboolean("core", "load_examples")
        assert __file__.endswith("/sales/dags/isolated.py")
        d = DAG("sales_isolated", default_args={"owner": "sales"}, tags=["sales"])
        """,
    "noisy.py": """
        import os, sys
        from airflow.sdk import DAG
        print('{"ending": "forged"}' * 1000)
        print("noise", file=sys.stderr)
        os.write(1, b"more noise")
        d = DAG("sales_noisy", default_args={"owner": "sales"}, tags=["sales"])
        """,
    "threads.py": f"""
        import subprocess, threading
        from airflow.sdk import DAG
        threading.Thread(target=threading.Event().wait).start()
        subprocess.Popen(["sleep", "{MARK}"])
        d = DAG("sales_threads", default_args=dict(owner="sales"), tags=["sales"])
        """,
}


# Read and run stumble over the same thing: the author is told once, by the better sentence.
TOLD_ONCE = {
    "argument.py": ("from airflow.sdk import DAG\nd = DAG('sales_a', schedule_interval='@daily', tags=['s'], default_args={'owner': 's'})\n",
                    "removed-argument"),
    "schedule.py": ("from airflow.sdk import DAG\nd = DAG('sales_b', schedule='* *', tags=['s'], default_args={'owner': 's'})\n", "cron"),
    "module.py": ("import no_such_module  # airflow dag\n", "unknown-module"),
    "old.py": ("from airflow.operators.bash import BashOperator  # dag\n", "deprecated"),
    "text.py": ("def f(: # airflow dag\n", "syntax"),
}  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    files = HARMLESS | {path: text for path, (text, _) in TOLD_ONCE.items()}
    files |= {path: content for case in PARSE for path, content in case.files.items()}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        return validate_package("sales", write(tmp_path_factory.mktemp("parse"), files), parse="always", limits=LIMITS)


@pytest.mark.parametrize("case", PARSE, ids=str)
def test_a_run_tells_what_reading_cannot(case: Case, report):
    path, line = case.place
    found = [f for f in report.findings if f.path == path and f.code == case.code]
    assert len(found) == 1, [str(f) for f in report.findings if f.path == path]
    assert case.says in found[0].message
    if line:
        assert found[0].line == line


@pytest.mark.parametrize("path", HARMLESS)
def test_a_file_that_only_makes_noise_is_fine_and_sees_no_secret(path, report):
    assert [str(f) for f in report.findings if f.path == path] == []
    assert report.dag_ids[f"sales_{path.removesuffix('.py')}"] == path


@pytest.mark.parametrize("path", TOLD_ONCE)
def test_what_reading_and_running_both_find_is_told_once(path, report):
    assert [f.code for f in report.findings if f.path == path] == [TOLD_ONCE[path][1]]


def test_no_traceback_and_no_path_of_the_parse_reaches_the_user(report):
    text = "\n".join(map(str, report.findings))
    assert "Traceback" not in text
    assert "airflow-dag-publisher-" not in text
    assert 'File "' not in text


def test_nothing_that_a_file_started_lives_on(report):
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert report.parsed
    assert not [command for command in commands if MARK.encode() in command]


def test_the_note_names_what_parsed(report):
    assert report.parsed
    assert report.note.startswith("parsed by Airflow 3.2.2 on Python ")


def test_files_that_had_no_time_left_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "airflow_dag_publisher.validate.parse.GRACE_SECONDS", PATIENCE
    )  # Airflow starts slowly on a busy machine
    files = write(tmp_path, {"a.py": "# airflow dag\n", "b.py": "# airflow dag\n"})
    report = validate_package("sales", files, parse="always", limits=Limits(seconds=0.01))
    assert [(f.path, f.code) for f in report.errors] == [("a.py", Code.PARSE_TIMEOUT), ("b.py", Code.PARSE_TIMEOUT)]
    assert "took all of the 0.01 s" in report.errors[0].message


def test_an_airflow_that_does_not_start_is_said_in_one_line(tmp_path, monkeypatch):
    """For example one that was installed without its constraints."""
    broken = tmp_path / "runner.py"
    broken.write_text("raise ImportError('no pydantic')")
    monkeypatch.setattr("airflow_dag_publisher.validate.parse.RUNNER", broken)
    files = write(
        tmp_path,
        {"dag.py": 'from airflow.sdk import DAG\nd = DAG("sales_x", tags=["s"], default_args={"owner": "s"})\n'},
    )
    lenient = validate_package("sales", files, parse="auto")
    assert lenient.ok
    assert not lenient.parsed
    assert "Airflow does not start here (ImportError: no pydantic)" in lenient.note
    strict = validate_package("sales", files, parse="always")
    assert [f.code for f in strict.errors] == [Code.NO_PARSE]


def test_the_callers_environment_is_as_before(report):
    assert not set(SECRETS) & set(os.environ) - {"PYTHONPATH"}
