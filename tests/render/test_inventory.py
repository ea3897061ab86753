"""What is deployed moved only on purpose: fresh renders against the kept inventories."""

import difflib

import pytest

from scripts.manage.layers.chart import archive
from tests.helpers import charts, facts, inventory
from tests.helpers.charts import CASES, ENVIRONMENTS, INCIDENT, Case

ALL = [*CASES, INCIDENT]
needs_archive = pytest.mark.skipif(archive() is None, reason="the official chart's archive is not here (make tools)")


@pytest.mark.parametrize("case", ALL, ids=str)
def test_a_kept_inventory_is_of_the_chart_and_values_of_today(case: Case) -> None:
    kept = inventory.kept(case)
    assert kept.exists(), f"{kept.name} is not there: run `make inventory`"
    assert f"# inputs: {inventory.inputs(case)}\n" in kept.read_text(), (
        f"{kept.name} is of other values or another chart: run `make inventory` and look at its diff"
    )


@needs_archive
@pytest.mark.parametrize("case", ALL, ids=str)
def test_a_render_is_what_is_kept(case: Case) -> None:
    fresh = inventory.document(case, facts.take(charts.official(case)), facts.take(charts.official(ENVIRONMENTS[0])))
    kept = inventory.kept(case).read_text()
    moved = "".join(difflib.unified_diff(kept.splitlines(True), fresh.splitlines(True), "kept", "rendered", n=1))
    assert not moved, f"{case} moved; if that was meant: `make inventory`\n{moved}"


@needs_archive
@pytest.mark.parametrize("case", ALL, ids=str)
def test_what_is_kept_reads_back_as_what_was_rendered(case: Case) -> None:
    """The policies without the archive see the same as with it."""
    assert inventory.read(case) == facts.take(charts.official(case))


def test_no_inventory_is_left_over() -> None:
    assert {file.stem for file in inventory.KEPT.glob("*.yaml")} == {str(case) for case in ALL}


@needs_archive
@pytest.mark.parametrize("case", ENVIRONMENTS, ids=str)
def test_two_renders_of_the_same_input_are_equal(case: Case) -> None:
    """Else each deploy would roll pods and change keys (traps 6 and 8)."""
    again = charts.template("airflow", charts.found_archive(), case.files, fresh=True)
    assert again == charts.RENDERS.text(case)
    ours = charts.template("airflow-platform", charts.OUR_CHART, case.our_files, fresh=True)
    assert charts.manifests(ours) == charts.ours(case)
