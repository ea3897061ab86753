"""policy.json: read again when it changed, never fatal; and what the module costs a process."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from .conftest import POLICY, Policies, dag, write

STRICT = {
    "default_package": None,
    "dag_ids": [],
    "jobs_namespace": "etl-jobs",
    "packages": [],
    "on_failure": [],
    "fixed_ids": True,
}
BROKEN = {
    "cut": b'{"dag_ids": ["a"',
    "not UTF-8": b"\xff\xfe\x00",
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "ids are a string": b'{"dag_ids": "data_collection"}',
    "an id is a number": b'{"dag_ids": [1]}',
    "no package's name": b'{"packages": ["Sales"]}',
    "default is no package's name": b'{"default_package": "financial-screener"}',
    "namespace is null": b'{"jobs_namespace": null}',
    "notifiers are a number": b'{"on_failure": 1}',
    "notifiers are an object": b'{"on_failure": {"classpath": "a.B"}}',
    "a notifier is a string": b'{"on_failure": ["a.B"]}',
    "a notifier without class": b'{"on_failure": [{"kwargs": {}}]}',
    "a notifier's arguments are a list": b'{"on_failure": [{"classpath": "a.B", "kwargs": []}]}',
}


@pytest.fixture
def read(policies: Policies, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Read `<tmp_path>/policy.json` twice in one process, and again after `move` (from, to), if given."""
    return lambda **more: policies.ask("read", path=str(tmp_path / "policy.json"), **more)  # type: ignore[no-any-return]


def test_what_the_chart_renders_is_read(read: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text(json.dumps(POLICY | {"default_package": "financial_screener", "later": 1}))
    assert read()["settings"] == POLICY | {
        "default_package": "financial_screener",
        "packages": sorted(POLICY["packages"]),
        "fixed_ids": True,
    }


def test_a_missing_file_means_strict_rules_and_one_line(read: Callable[..., dict[str, Any]]) -> None:
    result = read()
    assert result["settings"] == STRICT
    (line,) = result["log"]
    assert "policy.json cannot be used" in line and "strict rules hold" in line


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_means_strict_rules_and_one_line(
    read: Callable[..., dict[str, Any]], tmp_path: Path, case: str
) -> None:
    (tmp_path / "policy.json").write_bytes(BROKEN[case])
    result = read()
    assert result["settings"] == STRICT and len(result["log"]) == 1


def test_an_update_is_seen_as_kubernetes_makes_it(read: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """The file is a link through `..data`, and the kubelet flips that to a new folder; the mtimes may well be equal."""
    for name, ids in (("..1", ["a"]), ("..2", ["b"])):
        write(tmp_path, {f"{name}/policy.json": json.dumps({"dag_ids": ids})})
        os.utime(tmp_path / name / "policy.json", ns=(1, 1))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "..tmp").symlink_to("..2")
    (tmp_path / "policy.json").symlink_to("..data/policy.json")
    result = read(move=[f"{tmp_path}/..tmp", f"{tmp_path}/..data"])
    assert result["settings"]["dag_ids"] == ["a"] and result["cached"]
    assert result["moved"]["dag_ids"] == ["b"]


def test_a_mended_file_heals_it(read: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text("{")
    (tmp_path / "mended.json").write_text(json.dumps(POLICY))
    result = read(move=[f"{tmp_path}/mended.json", f"{tmp_path}/policy.json"])
    assert result["settings"] == STRICT and result["moved"]["dag_ids"] == POLICY["dag_ids"]


# --- in a real Airflow ------------------------------------------------------------------------------------------


def test_a_running_airflow_follows_the_file_and_survives_without_it(policies: Policies) -> None:
    root = str(write(policies.airflow.dags, {"sales/dags/x.py": dag("data_collection")}))
    assert policies.ask("parse", root=root)["dags"] == ["data_collection"]
    policies.say(dag_ids=[])
    assert policies.ask("parse", root=root)["dags"] == []
    policies.file.unlink()
    write(policies.airflow.dags, {"sales/dags/y.py": dag("sales_y")})
    assert policies.ask("parse", root=root)["dags"] == ["sales_y"]
    policies.say()
    assert policies.ask("parse", root=root)["dags"] == ["data_collection", "sales_y"]


def test_airflow_s_own_settings_are_not_overwritten(policies: Policies) -> None:
    """Airflow copies each public name of the module into `airflow.settings` unless `__all__` is there."""
    assert policies.ask("leaked")["names"] == []


def test_reading_dags_without_pods_does_not_load_the_provider(policies: Policies) -> None:
    root = str(write(policies.airflow.dags, {"sales/dags/x.py": dag("sales_x")}))
    assert policies.ask("parse", root=root) == {"dags": ["sales_x"], "errors": {}, "provider": False}


def test_imports_are_what_the_stock_image_has() -> None:
    """The policies import PyYAML, dag_protocol imports pathspec: Airflow itself requires both."""
    required = {re.split(r"[^\w-]", line)[0] for line in metadata.requires("apache-airflow-core") or ()}
    assert {"pathspec", "pyyaml"} <= required
