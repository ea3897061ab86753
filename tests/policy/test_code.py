"""What our chart puts beside Airflow is what the code there reads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.helpers.charts import CASES, OUR_CHART, Case, ours

CODE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import airflow_local_settings as policies
for line in sys.stdin:
    settings = policies._decode(line.encode())
    print("read " + json.dumps({"package": settings.default_package, "ids": sorted(settings.dag_ids), "namespace": settings.jobs_namespace,
                      "packages": sorted(settings.packages), "on_failure": [path for path, _ in sorted(settings.on_failure)]}))
"""


def code_of(case: Case) -> dict[str, str]:
    """The ConfigMap of a case."""
    [found] = [
        m["data"] for m in ours(case) if m["kind"] == "ConfigMap" and m["metadata"]["name"] == "airflow-platform-code"
    ]
    return dict(found)


def test_the_policies_understand_what_the_chart_writes(tmp_path: Path) -> None:
    """In every case: a document that they cannot read means strict rules for all, and notifiers for none."""
    lines = "".join(json.dumps(json.loads(code_of(case)["policy.json"])) + "\n" for case in CASES)
    env = {"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(OUR_CHART / "files")],
        input=lines,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    read = dict(
        zip(
            map(str, CASES),
            (json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("read ")),
            strict=True,
        )
    )
    assert read["dev"] == {
        "package": None, "ids": [], "namespace": "etl-jobs", "packages": ["finance", "risk_reports", "sales"], "on_failure": [],
    }  # fmt: skip
    assert read["pi"]["package"] == "financial_screener" and read["pi"]["packages"] == ["financial_screener"]
    assert read["pi"]["ids"] == ["calculate_indicators", "data_collection", "historical_load_equities"]
    assert [path.rpartition(".")[2] for path in read["options-celery"]["on_failure"]] == [
        "SlackNotifier",
        "SmtpNotifier",
    ]


def test_the_code_arrives_byte_for_byte() -> None:
    data = code_of(CASES[0])
    files = sorted((OUR_CHART / "files").glob("*.py"))
    assert {name for name in data if name != "policy.json"} == {file.name for file in files}
    for file in files:
        assert data[file.name].strip("\n") == file.read_text().strip("\n"), file.name
    assert sum(map(len, data.values())) < 1024 * 1024, "a ConfigMap holds 1 MiB"


def test_the_volume_of_the_policies_takes_what_they_import() -> None:
    """One without the other ends every process of Airflow."""
    items = [
        item["key"]
        for volume in yaml.safe_load((OUR_CHART.parents[1] / "values/base.yaml").read_text())["volumes"]
        for item in volume.get("configMap", {}).get("items", [])
    ]
    assert items == [
        "airflow_local_settings.py",
        "dag_bundle.py",
        "dag_job_pods.py",
        "dag_protocol.py",
        "dag_results.py",
        "dag_walk.py",
        "database_tls.py",
        "pod_address.py",
        "policy.json",
    ]
