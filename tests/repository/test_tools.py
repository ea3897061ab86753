"""The tools that are built: only what the tests that run need, all named where they are needed, each failure a line."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console

from scripts.local import tools
from scripts.pinned import ROOT, versions
from tests.helpers import bounds, helm_cache

USES = {
    "control-plane": r"from tests\.cluster\.conftest import|cluster: Cluster|tests\.cluster\"",
    "versitygw": r"\bgateway\b|program\(\"versitygw\"\)|web_identity import|rig_of",
    "helm": r"helpers\.charts import|helpers\.inventory import|tests\.manage\.conftest|\bhelm\(\)|operator: Operator",
    "poetry": r"program\(\"poetry\"\)",
    "airflow_next": r"airflow_program",
    "checkov": r"program\(\"checkov\"\)",
}
"""How a file of tests shows that it needs a tool."""


@pytest.mark.parametrize("name", USES)
def test_who_needs_a_tool_is_in_its_list(name: str) -> None:
    files = [
        file for file in (ROOT / "tests").glob("*/*.py") if file.parent.name != "helpers" and str(file) != __file__
    ]
    users = [str(file.relative_to(ROOT)) for file in files if re.search(USES[name], file.read_text())]
    assert users, "the pattern finds nobody"
    assert not [file for file in users if name not in tools.for_tests([file])]


def test_every_place_of_the_lists_is_there() -> None:
    places = [place for places in tools.NEEDED_BY.values() for place in places]
    places += [place for subject in bounds.SUBJECTS.values() for place in subject]
    assert not [place for place in places if not (ROOT / place).exists()]
    assert tools.NEEDED_BY.keys() == tools.tools().keys()


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        ([], {"control-plane", "versitygw", "helm", "poetry", "checkov", "airflow_next"}),
        (["-k", "x"], {"control-plane", "versitygw", "helm", "poetry", "checkov", "airflow_next"}),
        (["tests/protocol"], set()),
        (["tests/cluster_policy/test_settings.py"], set()),
        (["tests/cluster/test_rounds.py::test_x[a/b]", "-x"], {"control-plane", "helm"}),
        (["tests/store/", "tests/protocol"], {"versitygw"}),
        (["tests"], {"control-plane", "versitygw", "helm", "poetry", "checkov", "airflow_next"}),
    ],
)
def test_a_run_gets_what_its_tests_need(words: list[str], needed: set[str]) -> None:
    assert set(tools.for_tests(words)) == needed


def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *made: tools.Tool, output: io.StringIO | None = None) -> str:
    monkeypatch.setattr(tools, "tools", lambda: {tool.name: tool for tool in made})
    monkeypatch.setattr(tools, "CACHE", tmp_path)
    output = output or io.StringIO()
    tools.build([tool.name for tool in made], Console(file=output, width=80))
    return output.getvalue()


def test_a_build_that_fails_is_one_line_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(said: tools.Said) -> None:
        raise tools.NotBuilt("no such module")

    good: list[str] = []
    said = build(
        monkeypatch,
        tmp_path,
        tools.Tool("bad", lambda: True, fails, 1, ()),
        tools.Tool("good", lambda: True, lambda _: good.append("built"), 1, ()),
        tools.Tool("there", lambda: False, fails, 1, ()),
        tools.Tool("made meanwhile", iter([True, False]).__next__, fails, 1, ()),
    )
    assert good and "there" not in said
    assert "tools: bad was not built, so its tests will be skipped: no such module" in said
    assert "tools: building bad, good, made meanwhile: once, about 3 min on two cores" in said


def test_a_long_build_says_now_and_then_what_it_is_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Three minutes of silence look like a hang."""
    monkeypatch.setattr(tools, "SAID_EVERY", 0.01)
    said = threading.Event()

    class Output(io.StringIO):
        def write(self, text: str) -> int:
            if re.search(r"\d+:\d\d slow: 812 steps, k8s.io/api/core/v1", text):
                said.set()
            return super().write(text)

    def slow(say: tools.Said) -> None:
        say("812 steps, k8s.io/api/core/v1")
        assert said.wait(120)

    assert "slow built after" in build(
        monkeypatch, tmp_path, tools.Tool("slow", lambda: True, slow, 6, ()), output=Output()
    )


def test_a_command_that_fails_is_told_by_its_last_line() -> None:
    with pytest.raises(tools.NotBuilt, match=r"^the last$"):
        tools._run(["bash", "-c", "echo first; echo the last; exit 3"], lambda _: None)


def test_a_tool_that_is_not_known_is_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.local.tools", "hlem"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and done.stderr.startswith("tools: there is no hlem; there are control-plane, ")


def test_pins_are_read_without_what_only_the_checkout_has() -> None:
    """manage.sh reads them where nothing but click, jsonschema and yaml is installed."""
    code = "import sys; sys.modules['rich'] = None; import scripts.manage.layers.__main__, scripts.manage.renders, scripts.pinned"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    assert versions()["helm"].startswith("v3.")


# --- renders that are kept ----------------------------------------------------------------------------------------


@pytest.fixture
def helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A helm that counts how often it is called, and prints the file that it is given."""
    monkeypatch.setattr(helm_cache, "FOLDER", tmp_path / "renders")
    program = tmp_path / "helm-v3"
    program.write_text(f"#!/bin/sh\necho x >>{tmp_path}/calls\ncat $2/*\n[ $3 != bad ] || {{ echo $4 >&2; exit 1; }}\n")
    program.chmod(0o755)
    return program


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().splitlines())


def test_a_render_is_made_once_for_the_same_contents_wherever_they_lie(helm: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "values.yaml").write_text("a: 1\n")
        assert helm_cache.template([str(helm), "template", f"{tmp_path}/{name}", "good"]) == (0, "a: 1\n", "")
    assert calls(tmp_path) == 1
    (tmp_path / "two" / "values.yaml").write_text("a: 2\n")
    assert helm_cache.template([str(helm), "template", f"{tmp_path}/two", "good"])[1] == "a: 2\n"
    (tmp_path / "two" / "__pycache__").mkdir()
    (tmp_path / "two" / "values.yaml").rename(tmp_path / "two" / "other.yaml")
    helm_cache.template([str(helm), "template", f"{tmp_path}/two", "good"])
    helm_cache.template([str(helm), "template", f"{tmp_path}/two", "better"])
    assert calls(tmp_path) == 4


def test_a_refusal_is_kept_unless_it_names_a_file_of_the_run(helm: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "values.yaml").write_text("")
    refused = "execution error at: "
    for told, made in ((f"{refused}a sentence", 1), (f"{refused}{tmp_path}/one", 2), ("context canceled", 2)):
        before = calls(tmp_path) if (tmp_path / "calls").exists() else 0
        for _ in range(2):
            assert helm_cache.template([str(helm), "template", f"{tmp_path}/one", "bad", told]) == (1, "", f"{told}\n")
        assert calls(tmp_path) - before == made


def test_no_more_than_some_are_kept(helm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm_cache, "KEPT_RENDERS", 3)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "values.yaml").write_text("")
    for number in range(6):
        helm_cache.template([str(helm), "template", f"{tmp_path}/one", f"good{number}"])
        for age, kept in enumerate(sorted(helm_cache.FOLDER.iterdir(), key=lambda p: p.stat().st_mtime)):
            os.utime(kept, (1000 + age, 1000 + age))
    assert len(list(helm_cache.FOLDER.iterdir())) == 3
