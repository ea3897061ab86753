"""What Helm deletes, and kubectl diff does not show: whole objects, and fields of those that stay."""

from __future__ import annotations

from pathlib import Path

import yaml
from click.testing import CliRunner

from scripts.manage.renders import main


def gone(folder: Path, old: list[object], new: list[object]) -> list[str]:
    for name, documents in (("old", old), ("new", new)):
        (folder / name).write_text(yaml.safe_dump_all(documents))
    done = CliRunner().invoke(main, ["gone", str(folder / "old"), str(folder / "new")])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def thing(name: str, **fields: object) -> dict[str, object]:
    return {"kind": "Thing", "metadata": {"name": name}, **fields}


def test_objects_that_left(tmp_path: Path) -> None:
    kept = {"kind": "Thing", "metadata": {"name": "kept", "annotations": {"helm.sh/resource-policy": "keep"}}}
    assert gone(tmp_path, [thing("a"), thing("b"), kept], [thing("a")]) == [
        "would be deleted: Thing/b",
        "would stay without an owner: Thing/kept",
    ]


def test_fields_that_left_are_named_once_and_by_the_names_in_lists(tmp_path: Path) -> None:
    old = thing(
        "a", spec={"x": {"y": 1, "z": 2}, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "n": 1}
    )
    new = thing("a", spec={"env": [{"name": "B", "value": "3"}], "n": 2, "more": True})
    assert gone(tmp_path, [old], [new]) == [
        "would be removed: Thing/a: spec.env.A",
        "would be removed: Thing/a: spec.x",
    ]


def test_two_mounts_of_one_volume_are_two(tmp_path: Path) -> None:
    mounts = [{"name": "config", "mountPath": "/a"}, {"name": "config", "mountPath": "/b"}]
    assert gone(tmp_path, [thing("a", volumeMounts=mounts)], [thing("a", volumeMounts=mounts[:1])]) == [
        "would be removed: Thing/a: volumeMounts./b"
    ]


def test_things_of_one_name_in_two_namespaces_are_two(tmp_path: Path) -> None:
    there = {"kind": "Thing", "metadata": {"name": "a", "namespace": "etl-jobs"}}
    assert gone(tmp_path, [thing("a"), there], [thing("a")]) == ["would be deleted: Thing/a in etl-jobs"]


def test_a_field_set_to_null_is_as_good_as_none(tmp_path: Path) -> None:
    assert gone(tmp_path, [thing("a", spec={"x": None})], [thing("a", spec={})]) == []


def test_a_list_without_names_is_replaced_and_kubectl_shows_it(tmp_path: Path) -> None:
    assert gone(tmp_path, [thing("a", args=["1", "2"])], [thing("a", args=["1"])]) == []
