"""On an author's machine without Airflow, and on each Python that the publisher promises."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.validate.cases import GOOD, write

ROOT = Path(__file__).parents[2]
NEEDED = ("croniter", "dateutil", "pathspec", "pytz", "six")


def _pythons():
    """Each Python of 3.11 to 3.13 that is here: on the path, or installed by pyenv, whose shims may not run."""
    found = {shutil.which(f"python3.{minor}") or "" for minor in (11, 12, 13)}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found |= {str(python) for python in pyenv.glob("versions/3.1[123].*/bin/python3")}
    by_version = {}
    for python in sorted(found - {""}):
        asked = subprocess.run(
            [python, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=False
        )
        if asked.returncode == 0:
            by_version[asked.stdout] = python
    return [sys.executable, *by_version.values()]


SCRIPT = """
import json, sys
from pathlib import Path
from airflow_dag_publisher.validate import collect, validate_package
assert "airflow" not in sys.modules
report = validate_package("sales", collect(dags_dir=Path(sys.argv[1])), parse=sys.argv[2])
print(report.to_json())
"""


@pytest.fixture(scope="module")
def bare_path(tmp_path_factory):
    """A folder of links to what the publisher's validation needs, and no Airflow."""
    folder = tmp_path_factory.mktemp("bare")
    links = {
        "airflow_dag_publisher": ROOT / "packages/airflow_dag_publisher/src/airflow_dag_publisher",
        "dag_protocol.py": ROOT / "charts/airflow-platform/files/dag_protocol.py",
    }
    for name in NEEDED:
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:
            origin = Path(spec.origin)
            links[origin.name if origin.stem == name else name] = origin if origin.stem == name else origin.parent
    for name, target in links.items():
        (folder / name).symlink_to(target)
    return folder


def run(python, bare_path, dags, parse):
    code = f"import sys; sys.path.insert(0, {str(bare_path)!r}); sys.argv = ['-', {str(dags)!r}, {parse!r}]\n{SCRIPT}"
    # -S: no site-packages, so no Airflow, whatever this Python has
    answer = subprocess.run([python, "-I", "-S", "-B", "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.parametrize("python", _pythons())
def test_without_airflow_it_is_said_that_nothing_was_parsed(python, bare_path, tmp_path):
    write(tmp_path, {"dag.py": f"import pendulum\nimport not_here\n{GOOD}", "lib.py": "x = 1"})
    report = run(python, bare_path, tmp_path, "auto")
    assert report["ok"]
    assert not report["parsed"]
    assert report["note"].startswith("checked statically only: Airflow is not installed here")
    assert "cycles and DAG ids that are computed are not known" in report["note"]
    found = [(f["line"], f["code"], f["severity"]) for f in report["findings"] if f["code"] != "python-version"]
    assert found == [(2, "unknown-module", "warning")]


def test_a_parse_that_must_be_is_an_error_without_airflow(bare_path, tmp_path):
    write(tmp_path, {"dag.py": GOOD})
    report = run(sys.executable, bare_path, tmp_path, "always")
    (error,) = report["findings"]
    assert error["code"] == "no-parse"
    assert "pip install 'airflow-dag-publisher[airflow]'" in error["message"]


def test_errors_are_errors_without_airflow_too(bare_path, tmp_path):
    write(tmp_path, {"dag.py": GOOD.replace("sales_good", "good")})
    report = run(sys.executable, bare_path, tmp_path, "auto")
    assert [f["code"] for f in report["findings"]] == ["dag-id-prefix"]
