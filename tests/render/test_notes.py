"""What an install would say of its values; `helm template` says none of it (trap 24)."""

import tarfile
from pathlib import Path

import pytest

from scripts.manage.layers.chart import archive
from tests.helpers.charts import COMBINATIONS, ENVIRONMENTS, OPTIONS, Case, found_archive, manifests, template

CASES = [
    *ENVIRONMENTS,
    *OPTIONS,
    *(case for case in COMBINATIONS if str(case) in ("s3-sync-celery", "s3-sync-kubernetes")),
]
# An install wants a cluster. The notes are a template like any other: in a copy of the chart they become a ConfigMap.
FALSE_ALARM = "dags.gitSync.recommendedProbeSetting"  # told with git-sync off too; with it on, it decides of probes that we have not
AS_CONFIGMAP = '{{ define "notes" }}%s{{ end }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata:\n  notes: |\n    {{- include "notes" . | nindent 4 }}\n'


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if archive() is None:
        pytest.skip("the official chart's archive is not here (make tools)")
    folder = tmp_path_factory.mktemp("chart")
    with tarfile.open(found_archive()) as tar:
        tar.extractall(folder, filter="data")
    notes = folder / "airflow/templates/NOTES.txt"
    (folder / "airflow/templates/notes.yaml").write_text(AS_CONFIGMAP % notes.read_text())
    return folder / "airflow"


def notes(chart: Path, case: Case, *arguments: str) -> str:
    """The notes of an install."""
    [document] = manifests(template("airflow", chart, case.files, "--show-only", "templates/notes.yaml", *arguments))
    text: str = document["data"]["notes"]
    return text


def warnings(text: str) -> list[str]:
    """Its paragraphs that warn."""
    warned = [
        " ".join(part.split()) for part in text.split("\n\n") if "deprecat" in part.lower() or "warning" in part.lower()
    ]
    return [part for part in warned if FALSE_ALARM not in part]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_install_tells_of_nothing_out_of_date(chart: Path, case: Case) -> None:
    text = notes(chart, case)
    assert "Thank you for installing Apache Airflow" in text
    assert not warnings(text), "\n".join(warnings(text))


def test_it_would_tell(chart: Path) -> None:
    text = notes(
        chart, ENVIRONMENTS[0], "--set", "webserver.defaultUser.enabled=true", "--set", "workers.resources.limits.cpu=1"
    )
    assert len(warnings(text)) >= 2
