"""What the checklist says around its verdicts: exit codes, the table, the guide."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_helm_charts.clusters import ExistingCluster

from scripts.local.cluster.control_plane import NotBuilt, programs
from scripts.pinned import ROOT
from tests.checklist.kube import Kube, Refused, connect
from tests.checklist.options import OPTIONS
from tests.checklist.report import Row, show
from tests.checklist.verdict import Open, Wrong

CHECKLIST = ROOT / "tests" / "checklist"
GUIDE = ROOT / "docs" / "how-to" / "verify-a-cluster.md"


@pytest.fixture
def kubectl(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        monkeypatch.setenv("PATH", str(programs()), prepend=":")
    except NotBuilt as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize(
    ("contents", "context", "code", "says"),
    [
        (None, "", 2, "is no file"),
        ("{", "", 2, "is no kubeconfig"),
        ({"contexts": []}, "", 4, "no current context; it has none"),
        ({}, "pu", 4, "no context 'pu'; it has pi: ARGS=--context=pi"),
        ({"current-context": ""}, "", 4, "no current context; it has pi"),
        ({}, "", 3, "the cluster of context pi does not answer: .*refused"),
    ],
    ids=["no file", "no kubeconfig", "empty", "no such context", "no current context", "silent"],
)
def test_without_a_cluster_there_is_a_sentence_and_an_exit_code(
    tmp_path: Path, contents: Any, context: str, code: int, says: str
) -> None:
    file = tmp_path / "config"
    pi = {
        "apiVersion": "v1", "kind": "Config", "current-context": "pi", "users": [{"name": "pi", "user": {"token": "t"}}],
        "clusters": [{"name": "pi", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "pi", "context": {"cluster": "pi", "user": "pi"}}],
    }  # fmt: skip
    if contents is not None:
        file.write_text(contents if isinstance(contents, str) else yaml.safe_dump(pi | contents))
    with pytest.raises(Refused, match=says) as refused:
        connect(str(file), context)
    assert refused.value.code == code


def test_without_a_kubeconfig_or_kubectl_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="make verify-cluster KUBECONFIG="):
        connect("", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="kubectl is not on the PATH"):
        connect(__file__, "")


@pytest.mark.parametrize(
    ("said", "verdict", "text"),
    [
        ('Error from server (Forbidden): pods is forbidden: User "x" cannot list', Open, "^pods is forbidden.*docs/how-to"),
        ("Error from server (Timeout): try again", Wrong, "did not answer: try again"),
        ("Unable to connect to the server: EOF", Wrong, "did not answer: EOF"),
        ("", Wrong, "kubectl ended with 1"),
    ],
)  # fmt: skip
def test_what_the_api_server_refuses_is_open_and_its_silence_is_wrong(
    monkeypatch: pytest.MonkeyPatch, said: str, verdict: type[Exception], text: str
) -> None:
    kube = Kube(ExistingCluster("config"), "pi")
    with pytest.raises(verdict, match=text):
        answers(monkeypatch, said)
        kube.objects("pods", "airflow")
    answers(monkeypatch, "Error from server (NotFound): the server could not find the requested resource")
    assert kube.objects("schedules", "velero", "velero.io/v1") is None


def answers(monkeypatch: pytest.MonkeyPatch, stderr: str) -> None:
    def kubectl(*_: str, **__: str) -> None:
        raise subprocess.CalledProcessError(1, "kubectl", stderr=stderr)

    monkeypatch.setattr(ExistingCluster, "kubectl", kubectl)


ROWS_SHOWN = [
    Row("ok", "Scheduler Running", "word " * 40),
    Row("FAILED", "UI accessible", "x" * 150),
    Row("open", "DAGs visible in UI", "x" * 150),
]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_keeps_to_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    show("Heading", ROWS_SHOWN)
    lines = capsys.readouterr().out.splitlines()
    assert "".join(lines).count("x") == 150, "all of it is told, once"
    assert max(map(len, lines)) <= columns and lines == [line.rstrip() for line in lines]


def test_into_a_pipe_each_item_is_one_line_and_nothing_is_said_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    show("Heading", ROWS_SHOWN)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[2:]] == [
        ["1", "ok"],
        ["2", "FAILED"],
        ["3", "open"],
        ["1", "ok,"],
    ]


def test_what_the_checks_point_to_is_written() -> None:
    text = "".join(file.read_text() for file in CHECKLIST.glob("*.py"))
    pages = set(re.findall(r"docs/[\w/-]+\.md(?:#\w+)?", text))
    assert len(pages) >= 4
    for page in pages:
        file, _, section = page.partition("#")
        assert f"\n## {section.title()}".rstrip() in (ROOT / file).read_text(), page


def test_the_guide_has_every_option_item_and_exit_code() -> None:
    guide = GUIDE.read_text()
    assert [flag for flag in OPTIONS if f"`{flag}`" not in guide] == []
    titles = re.findall(r'^    """(.*)"""$', (CHECKLIST / "test_checklist.py").read_text(), re.MULTILINE)[:10]
    items = " ".join(line[12:38].strip() for line in guide.split("```text")[1].splitlines())
    assert [title for title in titles if title not in items] == []
    assert len(re.findall(r"^\| (\d+) [A-Z]", guide, re.MULTILINE)) == 10
    assert re.findall(r"^\| (\d) \| ", guide, re.MULTILINE) == ["0", "1", "2", "3", "4"]


def test_only_who_names_it_runs_it(request: pytest.FixtureRequest) -> None:
    ignored = request.session.gethookproxy(CHECKLIST.parent).pytest_ignore_collect(
        collection_path=CHECKLIST, config=request.config
    )
    assert ignored
    said = subprocess.run(
        ["make", "--dry-run", "verify-cluster", "ARGS=--wait=1"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "-m pytest tests/checklist --wait=1" in said.stdout
