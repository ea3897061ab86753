"""A combination that cannot work is refused in one sentence with both keys and the way out, by plain Helm too."""

from pathlib import Path

import pytest

from scripts.local.outputs import OUTPUTS
from scripts.manage.layers.chart import archive
from tests.helpers.charts import OUR_CHART, Refused, found_archive, template
from tests.render.refusals import OFFICIAL, OURS, Wrong


def files(wrong: Wrong, ours: bool) -> tuple[Path, ...]:
    """Its values files, without the outputs if it has none."""
    return tuple(f for f in (wrong.case.our_files if ours else wrong.case.files) if wrong.outputs or f != OUTPUTS)


@pytest.mark.skipif(archive() is None, reason="the official chart's archive is not here (make tools)")
@pytest.mark.parametrize("wrong", OFFICIAL, ids=str)
def test_the_layers_refuse_it(wrong: Wrong) -> None:
    with pytest.raises(Refused) as caught:
        template("airflow", found_archive(), files(wrong, ours=False), *wrong.arguments)
    said = " ".join(str(caught.value).split())
    assert all(part in said for part in wrong.says), said
    assert said.count("fail ") == 0 and len(said) < 700, f"a sentence, not a template: {said}"


@pytest.mark.parametrize("wrong", OURS, ids=str)
def test_our_chart_refuses_it(wrong: Wrong) -> None:
    with pytest.raises(Refused) as caught:
        template("airflow-platform", OUR_CHART, files(wrong, ours=True), *wrong.arguments)
    assert all(part in str(caught.value) for part in wrong.says), caught.value
