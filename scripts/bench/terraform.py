"""How long Terraform takes for an environment of many packages: the first plan, the apply, the plan when all of it is there."""

from __future__ import annotations

import time
from typing import Any

from scripts.bench import rig
from scripts.local.fake_aws import FakeAWS
from scripts.local.manage_sh import Manage, var_arguments

LIMIT = 60  # seconds
NO_LIFECYCLE = {"noncurrent_days": 0, "log_days": 0}  # the provider waits a minute for one, whatever else there is
CLUSTER = {"name": "main", "issuer": "https://oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF"}


def run(quick: bool = False) -> dict[str, Any]:
    """Plan dev with each number of packages; apply it, and plan again."""
    rows = [_row(packages) for packages in ((2,) if quick else (10, 200))]
    return {"rows": rows, "targets": [_target(row) for row in rows]}


def _row(packages: int) -> dict[str, Any]:
    """Seconds of each command, `manage.sh` and the provider's start included."""
    with rig.scratch() as folder, FakeAWS(folder / "aws.log") as aws:
        manage = Manage({**aws.admin, "AIRFLOW_PLATFORM_STATE_DIR": str(folder / "state")})
        teams = {f"package{n:03}": {"github": {"repository": f"acme/package{n:03}"}} for n in range(packages)}
        arguments = [
            "dev",
            "--yes",
            "--",
            *var_arguments({"packages": teams, "cluster": CLUSTER, "bucket": NO_LIFECYCLE}),
        ]
        seconds = {}
        for step, command in (("first plan", "plan"), ("apply", "apply"), ("plan of no change", "plan")):
            started = time.monotonic()
            said = manage.ok(command, *arguments)
            seconds[step] = round(time.monotonic() - started, 1)
        assert "No changes" in said, said
        return {"packages": packages, "seconds": seconds}


def _target(row: dict[str, Any]) -> dict[str, Any]:
    measured = row["seconds"]["first plan"]
    what = f"seconds of the first plan with {row['packages']} packages"
    return {"what": what, "measured": measured, "at_most": LIMIT, "met": measured <= LIMIT}
