"""Each change of tests/mutants/mutants.yaml still fits the code; what was not tried since is told at the end of a run."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.mutants import run


@pytest.mark.parametrize("mutant", run.mutants(), ids=lambda mutant: mutant.what)
def test_a_change_fits_the_code(mutant: run.Mutant) -> None:
    text = (run.ROOT / mutant.file).read_text()
    changed = mutant.applied_to(text)
    assert changed != text
    if mutant.file.endswith(".py"):
        compile(changed, mutant.file, "exec")


def test_the_list_is_long_enough_and_says_each_thing_once() -> None:
    mutants = run.mutants()
    assert len({mutant.what for mutant in mutants}) == len(mutants)
    parts = {
        r"(dag_(sync_\w+|check|contents|http|tree)|pod_address)\b": "dag_sync",
        r"(dag_(walk|results|job_pods|bundle)|airflow_local_settings)\b": "in_airflow",
        r"airflow_dag_publisher/(repository/)?\w+\.py": "publisher",
    }
    files = [mutant.file for mutant in mutants]
    for pattern, part in parts.items():
        files = [re.sub(pattern, part, file) for file in files]
    of_area = Counter(file.split("/")[0] if "terraform" in file else file for file in files)
    areas = [file for file in of_area if not file.startswith("scripts/manage/")]
    assert len(areas) >= 8 and all(of_area[area] >= 6 for area in areas), of_area


def test_a_change_that_was_never_tried_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    first = run.mutants()[0]
    fresh = {first.what: {"noticed by": "a test", "digest": first.digest(run.ROOT)}}
    monkeypatch.setattr(run, "kept", lambda: fresh)
    assert run.stale() == [one.what for one in run.mutants()[1:]]
    fresh[first.what]["digest"] = "of other code"
    assert first.what in run.stale()


def test_nothing_is_kept_of_changes_that_are_gone() -> None:
    assert run.kept().keys() <= {mutant.what for mutant in run.mutants()}
