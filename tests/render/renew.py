"""Write the kept inventories anew: `make inventory`."""

from __future__ import annotations

import sys

from scripts.manage.layers.chart import archive
from scripts.pinned import ROOT
from tests.helpers import facts, inventory
from tests.helpers.charts import CASES, ENVIRONMENTS, INCIDENT, official


def main() -> int:
    """Write them all, and delete those of cases that are no more."""
    if archive() is None:
        print(
            "make inventory: the official chart's archive is not here; run 'make tools', or name it in AIRFLOW_CHART_FILE.",
            file=sys.stderr,
        )
        return 3
    cases = [*CASES, INCIDENT]
    inventory.KEPT.mkdir(exist_ok=True)
    for file in inventory.KEPT.glob("*.yaml"):
        if file not in map(inventory.kept, cases):
            file.unlink()
    dev = facts.take(official(ENVIRONMENTS[0]))
    for case in cases:
        inventory.kept(case).write_text(inventory.document(case, facts.take(official(case)), dev))
    print(f"{len(cases)} inventories in {inventory.KEPT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
