"""What is generated, linked or pinned in two places says the same in both."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import pytest
import yaml

import dag_protocol as protocol
from scripts.local.memory_store import MemoryStore
from scripts.maintain import reference_docs as docs
from scripts.maintain.generated import REFERENCE, generated
from tests.protocol.test_model import CONTENTS, publish

ROOT = Path(__file__).parents[2]
CHART_FILES = ROOT / "charts" / "airflow-platform" / "files"
PACKAGE = ROOT / "packages" / "airflow_dag_publisher"
PINS = yaml.safe_load((ROOT / "versions.yaml").read_text())


@pytest.mark.parametrize("path", generated(), ids=lambda p: p.name)
def test_generated_docs_are_current(path: Path) -> None:
    assert path.read_text() == generated()[path], "run `make docs` and commit the result"


def test_every_exit_code_is_documented_and_given() -> None:
    assert set(docs.EXITS) == set(docs.Exit)


def test_the_protocol_writes_what_its_schemas_describe() -> None:
    store = MemoryStore()
    for name in CONTENTS:
        publish(name, store)
    written = {key: v.data for key, (v, *_) in store.objects.items()}
    for prefix, name in (("manifests/", "manifest"), ("pointers/", "pointer")):
        schema = json.loads((REFERENCE / f"{name}.schema.json").read_text())
        found = [json.loads(data or b"") for key, data in written.items() if key.startswith(prefix)]
        assert found
        for document in found:
            jsonschema.validate(document, schema)


@pytest.mark.parametrize(
    ("field", "value"),
    [("version", "../x"), ("package", "Sales"), ("schema", 2), ("files", [{}]), ("kind", "release"), ("previous", "x")],
)
def test_what_the_schema_refuses_the_protocol_refuses(field: str, value: object) -> None:
    manifest = protocol.Manifest("dev", "sales", "20260101T000000Z-00000000", ())
    document = json.loads(manifest.encode())
    jsonschema.validate(document, docs.manifest_schema())
    document[field] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, docs.manifest_schema())
    data = json.dumps(document).encode()
    with pytest.raises(protocol.ProtocolError):
        protocol.decode_manifest(data, "dev", "sales", protocol.VersionRef(manifest.version, protocol.sha256(data)))


def test_the_publisher_ships_the_chart_s_own_modules(tmp_path: Path) -> None:
    """Links in the checkout, copies in the wheel: both are the chart's files."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(PACKAGE)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name: archive.read(name) for name in archive.namelist() if name.startswith("dag_")}
    assert set(shipped) == {
        "dag_protocol.py", "dag_store.py", "dag_package.py", "dag_adopter.py", "dag_retention.py", "dag_contents.py", "dag_check.py", "dag_http.py",
    }  # fmt: skip
    assert shipped == {name: (CHART_FILES / name).read_bytes() for name in shipped}


def test_dag_sync_needs_nothing_but_boto3_and_what_airflow_has() -> None:
    """The sidecar runs in the stock image: an import of anything else is a crash loop."""
    allowed = {"boto3", "botocore", "pathspec", *sys.stdlib_module_names}
    ours, todo = set[str](), ["dag_sync", "dag_adopter", "dag_job_pods"]
    while todo:
        name = todo.pop()
        ours.add(name)
        text = (CHART_FILES / f"{name}.py").read_text()
        imported = set(re.findall(r"^(?:from|import) ([a-z_0-9]+)", text, re.MULTILINE))
        todo += [module for module in imported - ours if (CHART_FILES / f"{module}.py").exists()]
        others = {module for module in imported - allowed if not (CHART_FILES / f"{module}.py").exists()}
        assert not others, (name, others)
    assert {"dag_sync_versions", "dag_tree", "dag_retention"} <= ours


@pytest.mark.parametrize(
    ("name", "file", "pattern"),
    [
        ("airflow", "packages/airflow_dag_publisher/pyproject.toml", r'"apache-airflow==([^"]+)"'),
        ("airflow", "locks/dev.txt", r"^apache-airflow==(\S+)"),
        (
            "python",
            "packages/airflow_dag_publisher/src/airflow_dag_publisher/refusing.py",
            r'^AIRFLOWS_PYTHON = "([^"]+)"',
        ),
        ("kubernetes_oldest", "charts/airflow-platform/Chart.yaml", r'^kubeVersion: ">=(\S+)-0"'),
        ("airflow", "values/base.yaml", r"^defaultAirflowTag: (\S+)-python"),
        ("airflow", "charts/airflow-platform/values.yaml", r"^  tag: (\S+)-python"),
        ("airflow", "charts/airflow-platform/Chart.yaml", r'^appVersion: "(\S+)"'),
        ("terraform_aws_provider", "terraform/environment/.terraform.lock.hcl", r'version += "([^"]+)"'),
    ],
)
def test_a_version_stands_in_versions_yaml_and_agrees_elsewhere(name: str, file: str, pattern: str) -> None:
    found = re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE)
    assert found and set(found) == {str(PINS[name])}


@pytest.mark.parametrize("lock", sorted((ROOT / "locks").glob("*.txt")), ids=lambda p: p.name)
def test_locks_have_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)
    requirements = re.findall(r"^[a-z0-9][^\n]*", text, re.MULTILINE)
    assert requirements and all(line.endswith("\\") for line in requirements), "a requirement without a hash"


def test_links_in_the_docs_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in [ROOT / "README.md", ROOT / "charts/airflow-platform/README.md", *ROOT.glob("docs/**/*.md")]
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert not broken


def test_the_control_plane_is_built_from_the_pinned_versions() -> None:
    """`make lock` writes go.mod; a staging module of another Kubernetes would build, and be another Kubernetes."""
    text = (ROOT / "scripts" / "local" / "cluster" / "go.mod").read_text()
    required = dict(re.findall(r"^\t(\S+) (v\S+)", text, re.MULTILINE))
    assert required["k8s.io/kubernetes"] == PINS["kubernetes"]
    assert required["go.etcd.io/etcd/server/v3"] == PINS["etcd"]
    assert required["sigs.k8s.io/kwok"] == PINS["kwok"]
    replaced = dict(re.findall(r"^\t(\S+) => \1 (v\S+)", text, re.MULTILINE))
    assert len(replaced) > 30 and set(replaced.values()) == {PINS["kubernetes"].replace("v1.", "v0.")}
