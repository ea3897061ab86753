"""`configmap` prints what Kubernetes takes and gives back byte by byte, and what Airflow can walk."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from airflow_dag_publisher import configmap
from airflow_dag_publisher.cli import cli
from scripts.local.airflow import Airflow, fresh
from tests.publisher.conftest import Done

MIB = 1024 * 1024
DAG = 'from airflow.sdk import DAG\n\nd = DAG("sales_eu_one", default_args={"owner": "sales"}, tags=["sales"])\n'
MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: airflow-dags-sales-eu
  namespace: "airflow"
  labels:
    app.kubernetes.io/managed-by: airflow-dag-publisher
    app.kubernetes.io/part-of: airflow-platform
  annotations:
    airflow-platform/package: "sales_eu"
data:
  ".airflowignore": |
    old_*.py
    ..*
  "1.10": "first\\r\\nsecond\\r\\n"
  "note.txt": |-
    no end: of # line
  "one.py": |
    from airflow.sdk import DAG

    d = DAG("sales_eu_one", default_args={"owner": "sales"}, tags=["sales"])
binaryData:
  "logo.png": iVBO/w==
"""
FILES = {
    "one.py": DAG.encode(),
    "note.txt": b"no end: of # line",
    "1.10": b"first\r\nsecond\r\n",
    "logo.png": b"\x89PN\xff",
    ".airflowignore": b"old_*.py",
}
Folder = Callable[[Mapping[str, bytes]], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def write(files: Mapping[str, bytes]) -> Path:
        for path, data in files.items():
            file = tmp_path / "dags" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return tmp_path / "dags"

    return write


def run(folder: Path | str, *words: str, package: str = "sales_eu") -> Done:
    result = CliRunner().invoke(cli, ["configmap", "--package-name", package, "--dags-dir", str(folder), *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 0 or not result.stdout, "a refusal printed something to apply"
    return Done(result.exit_code, result.stdout_bytes.decode(), result.stderr)


def quick(folder: Path | str, *words: str, package: str = "sales_eu") -> Done:
    return run(folder, "--no-validate", *words, package=package)


def contents(manifest: str | bytes) -> dict[str, bytes]:
    """The files as a pod gets them, read by PyYAML."""
    return mounted(yaml.safe_load(manifest))


def mounted(document: Mapping[str, Any]) -> dict[str, bytes]:
    binary = {key: base64.b64decode(value, validate=True) for key, value in document.get("binaryData", {}).items()}
    assert not binary.keys() & document["data"].keys()
    return {key: value.encode() for key, value in document["data"].items()} | binary


# --- what is printed --------------------------------------------------------------------------------------------


def test_the_whole_manifest(folder: Folder):
    done = run(folder(FILES), "--no-parse")
    assert (done.code, done.out) == (0, MANIFEST)
    assert "sales_eu: 0 errors" in done.err
    assert contents(done.out) == FILES | {".airflowignore": b"old_*.py\n..*\n"}


def test_the_same_files_give_the_same_manifest(folder: Folder, tmp_path: Path):
    first = folder(dict(reversed(FILES.items()))).rename(tmp_path / "elsewhere")
    for file in first.iterdir():
        os.utime(file, (1, 1))
    assert quick(first).out == quick(folder(FILES)).out == MANIFEST
    assert configmap.manifest("sales_eu", "airflow", dict(sorted(FILES.items(), reverse=True))).decode() == MANIFEST


def test_no_binary_file_and_no_ignore_file(folder: Folder):
    document = yaml.safe_load(run(folder({"one.py": DAG.encode()}), "--no-parse").out)
    assert "binaryData" not in document
    assert document["data"] == {".airflowignore": "..*\n", "one.py": DAG}


def test_namespace_and_output(folder: Folder, tmp_path: Path):
    target = tmp_path / "sales.yaml"
    done = quick(folder(FILES), "--namespace", "etl", "--output", str(target))
    assert (done.code, done.out) == (0, "")
    assert target.read_text() == MANIFEST.replace('namespace: "airflow"', 'namespace: "etl"')


def test_hidden_files_and_caches_are_left_out(folder: Folder):
    more = {"__pycache__/one.pyc": b"x", ".git/config": b"x", ".env": b"SECRET=1"}
    assert quick(folder({**FILES, **more})).out == MANIFEST


AWKWARD = [
    "", "\n", "\n\n", " x", "\tx\n", "x ", "x\t\ny\n", "x\n\n\n", "x\n\n\ny", "x\n \ny\n", "x\n  \n", "x\n\t", "x\n \n\n", "x \n\n\n", "x\n\ty\n    z\n", "a\rb", "a\r\n", "---\n...\n",
    "# c\n", "'\"\\\n", "- x: {y}\n", "null", "1.10", "\0", "\x7f\x85\u2028\u2029\ufeff", "é 😀 \u00a0\n", "\U000e0001", "%TAG\n", "\ufffe", "|\n>",
    "x" * 100_000 + "\n",
]  # fmt: skip


@pytest.mark.parametrize("text", AWKWARD, ids=lambda t: ascii(t[:20]))
def test_awkward_text_comes_back(text: str):
    files = {"a": text.encode(), "b": text.encode()}
    assert contents(configmap.manifest("sales", "airflow", files)) == files | {".airflowignore": b"..*\n"}


@pytest.mark.parametrize("character", ["\x7f", "\x80", "\x85", "\x9f", "\ufffe", "\uffff"], ids=ascii)
def test_text_that_a_server_side_apply_would_spoil_is_binary(character: str):
    """The API server reads kubectl's JSON as YAML: U+0085 became a space without a word, the others were refused."""
    document = yaml.safe_load(configmap.manifest("sales", "airflow", {"a": f"x{character}y".encode()}))
    assert "a" in document["binaryData"]


@given(st.dictionaries(st.from_regex(configmap.KEY, fullmatch=True), st.binary() | st.text().map(str.encode)))
def test_any_content_comes_back(files: dict[str, bytes]):
    files.pop(".airflowignore", None)
    assert contents(configmap.manifest("sales", "airflow", files)) == files | {".airflowignore": b"..*\n"}


@pytest.mark.skipif(
    not shutil.which("kubectl"), reason="kubectl is not on this machine; PyYAML alone read the manifest"
)
def test_kubectl_reads_the_same(tmp_path: Path):
    files = (
        {f"f{n}": text.encode() for n, text in enumerate(AWKWARD)} | FILES | {"null": b"x", "1e3": b"y", "0x10": b"z"}
    )
    command = ["kubectl", "label", "--local", "--filename=-", "a=b", "--output=json"]
    done = subprocess.run(
        command,
        input=configmap.manifest("sales", "airflow", files),
        capture_output=True,
        check=True,
        timeout=60,
        env={**os.environ, "HOME": str(tmp_path), "KUBECONFIG": os.devnull},
    )
    assert mounted(json.loads(done.stdout)) == files | {".airflowignore": b"old_*.py\n..*\n"}


# --- what is refused --------------------------------------------------------------------------------------------


def test_what_validation_refuses(folder: Folder):
    done = run(folder({"one.py": b"def (\n"}), "--no-parse")
    assert done.code == 1 and "one.py:1: syntax" in done.err
    assert done.err.splitlines()[-1] == "airflow-dag-publisher: package sales_eu was not made a ConfigMap: 1 errors"


def test_the_options_of_validation(folder: Folder):
    root = folder({"one.py": DAG.replace("sales_eu_one", "historical").encode()})
    assert run(root, "--no-parse").code == 1
    assert run(root, "--no-parse", "--kept-id", "historical").code == 0
    assert "WARNING: package sales_eu is made a ConfigMap without validation" in quick(root).err


@pytest.mark.parametrize("binary", [b"", b"\xff"], ids=["text", "binary"])
def test_one_mebibyte_and_not_a_byte_more(folder: Folder, binary: bytes):
    """Kubernetes 1.36 takes the first and refuses the second; our own line in the ignore file counts, names do not."""
    for_us = len(b"..*\n") + len(binary)
    done = quick(folder({"data.csv": binary + b"x" * (MIB - for_us)}))
    assert done.code == 0 and sum(map(len, contents(done.out).values())) == MIB
    quick(folder({"data.csv": binary + b"x" * (MIB - for_us + 1)})).failed(
        1, "sales_eu has 1,048,577 bytes", "1,048,576", "the largest is data.csv with 1,048,573", "another mode"
    )


def test_names_that_are_too_much_for_etcd(folder: Folder):
    """With 1.36, 1,999 names of 150 letters left room for 937,535 bytes of content, and not for 939,534."""
    long = {f"{n:04d}{'x' * 146}": b"y" * 466 for n in range(1_999)}
    assert quick(folder(long)).code == 0
    quick(folder({name: data + b"y" for name, data in long.items()})).failed(
        1, "etcd", "2,000 files", "shorten the names"
    )


def test_sub_folders(folder: Folder):
    root = folder({"one.py": DAG.encode(), "zoo/z.py": b"", "lib/deep/a.py": b"", "lib/b.sql": b""})
    run(root).failed(1, f"{root}/lib is a sub-folder", f"move its files up into {root}", "another mode")


def test_a_link_to_a_folder_is_a_sub_folder(folder: Folder, tmp_path: Path):
    root = folder({"one.py": DAG.encode()})
    (root / "lib").symlink_to(tmp_path)
    run(root).failed(1, f"{root}/lib is a sub-folder")


@pytest.mark.parametrize("name", ["my dag.py", "größe.sql", "a+b.py", "a:b", "x=1.csv"])
def test_names_that_are_no_keys(folder: Folder, name: str):
    run(folder({"one.py": DAG.encode(), name: b""})).failed(1, repr(name), "rename it")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        (".airflowignore", b"!..*\n", ("'!'",)),
        (".airflowignore", b"a\\\n", ("does not compile",)),
        ("data.xlsx", b"PK\x05\x06" + bytes(18), ("zip archive",)),
        ("big.py", b"#" * (512 * 1024 + 1), ("big.py", "524,288")),
    ],
)
def test_what_ends_airflow_is_refused_without_validation_too(
    folder: Folder, name: str, data: bytes, words: tuple[str, ...]
):
    quick(folder({"one.py": DAG.encode(), name: data})).failed(1, *words)


def test_a_pipe_is_no_file(folder: Folder):
    root = folder({"one.py": DAG.encode()})
    os.mkfifo(root / "pipe")
    run(root).failed(1, "pipe", "not a file")


@pytest.mark.parametrize("package", ["Sales", "sales-eu", "x", "a: b"])
def test_package_names(folder: Folder, package: str):
    quick(folder(FILES), package=package).failed(1, repr(package), "not usable")


def test_wrong_use(folder: Folder, tmp_path: Path):
    root = folder(FILES)
    quick(tmp_path / "dogs").failed(2, "dogs is not a folder")
    quick(tmp_path).failed(2, f"--dags-dir {root}")
    quick(root, "--output", str(root / "sales.yaml")).failed(2, "lies in the package")
    quick(root, "--output", str(tmp_path)).failed(2, "cannot be written")
    quick(root, "--output", str(tmp_path / "no" / "x.yaml")).failed(2, "cannot be written")
    for namespace in ("", "Etl", "a.b", "-a", "a" * 64, "a\n"):
        done = quick(root, "--namespace", namespace)
        assert done.code == 2 and "is no namespace" in done.err


# --- on a real Airflow ------------------------------------------------------------------------------------------


def mount(folder: Path, files: Mapping[str, bytes], version: str) -> None:
    """What the kubelet does with a ConfigMap volume: a real folder, one link to it, and a link for each file."""
    real = folder / f"..{version}"
    real.mkdir(parents=True)
    for name, data in files.items():
        (real / name).write_bytes(data)
    (folder / "..data_tmp").symlink_to(real.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for entry in list(folder.iterdir()):
        if entry.name.startswith("..2") and entry != real:
            shutil.rmtree(entry)
        elif entry.is_symlink() and not entry.exists():
            entry.unlink()


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    home = tmp_path_factory.mktemp("airflow")
    airflow = Airflow(home, home / "dags", settings={"AIRFLOW__CORE__LOAD_EXAMPLES": "False"})
    airflow.migrate()
    return airflow


def process(airflow: Airflow) -> tuple[int, str]:
    """One round of a real dag-processor: how it ended, and what it said."""
    done = airflow.run("dag-processor", "--num-runs", "1")
    return done.returncode, done.stdout + done.stderr


def shown(airflow: Airflow) -> dict[str, tuple[str, str]]:
    return {d.dag_id: (d.file, d.description) for d in airflow.dags_shown().values() if not d.stale}


def a_dag(name: str, description: str) -> bytes:
    return f'from airflow.sdk import DAG\nfrom sales.dags.texts import NOTE\nd = DAG("sales_{name}", description="{description}" + NOTE)\n'.encode()


PACKAGE = {"one.py": a_dag("one", "first"), "two.py": a_dag("two", "first"), "texts.py": b"NOTE = ' note'\n"}


@pytest.mark.airflow
def test_each_dag_is_found_once_by_its_plain_name(airflow: Airflow):
    """Its own ignore file works on, also one that brings hidden folders back: the last pattern wins, and is ours."""
    folder = fresh(airflow.dags) / "sales" / "dags"
    own = {".airflowignore": b"# ours\nold.py # not now\n!..*", "old.py": a_dag("old", "never")}
    mount(folder, contents(configmap.manifest("sales", "airflow", PACKAGE | own)), "2026_01_01_00_00_00.1")
    code, said = process(airflow)
    assert code == 0 and not airflow.import_errors(), said[-2000:]
    assert shown(airflow) == {
        "sales_one": ("sales/dags/one.py", "first note"),
        "sales_two": ("sales/dags/two.py", "first note"),
    }
    # The next `kubectl apply`, as the kubelet brings it.
    changed = {"one.py": a_dag("one", "second"), "texts.py": b"NOTE = ' other'\n"}
    mount(folder, contents(configmap.manifest("sales", "airflow", changed)), "2026_01_02_00_00_00.2")
    code, said = process(airflow)
    assert code == 0 and not airflow.import_errors(), said[-2000:]
    assert shown(airflow)["sales_one"] == ("sales/dags/one.py", "second other")


@pytest.mark.airflow
def test_without_our_line_the_dag_processor_ends(airflow: Airflow):
    """So the test above is worth something."""
    folder = fresh(airflow.dags) / "sales" / "dags"
    mount(folder, PACKAGE, "2026_01_01_00_00_00.1")
    code, said = process(airflow)
    assert code != 0 and "Detected recursive loop when walking DAG directory" in said, said[-2000:]


def test_the_kubelet_s_layout(tmp_path: Path):
    """The stand-in does what the tests above take it for."""
    mount(tmp_path, {"a.py": b"1", "b.py": b"1"}, "2026_1")
    mount(tmp_path, {"a.py": b"2", "c.py": b"2"}, "2026_2")
    entries: dict[str, Any] = {p.name: str(p.readlink()) if p.is_symlink() else None for p in tmp_path.iterdir()}
    assert entries == {"..2026_2": None, "..data": "..2026_2", "a.py": "..data/a.py", "c.py": "..data/c.py"}
    assert (tmp_path / "a.py").read_bytes() == b"2"
