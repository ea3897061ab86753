"""A state that is older than a module needs no change: the `moved` blocks say where its resources are now."""

import os
import re
import subprocess

import pytest

from scripts.local.fake_aws import FakeAWS
from scripts.local.manage_sh import Manage
from scripts.local.terraform import TERRAFORM
from tests.helpers.needs import needs_terraform

pytestmark = needs_terraform
BLOCK = re.compile(r"moved \{\s+from = (\S+)\s+to   = (\S+)\s+\}")


def moved(module):
    """Where its resources were, and where they are."""
    return BLOCK.findall((TERRAFORM / "modules" / module / "moved.tf").read_text())


@pytest.mark.exhaustive("terraform")
@pytest.mark.parametrize(
    ("environment", "address", "module"),
    [("dev", "module.dag_bucket", "dag-bucket"), ("account", "module.state_backend", "state-backend")],
)
def test_a_state_from_before_closed_bucket_needs_no_change(environment, address, module, tmp_path):
    with FakeAWS(tmp_path / "server.log") as aws:
        manage = Manage({**aws.admin, "AIRFLOW_PLATFORM_STATE_DIR": str(tmp_path / "state")})
        manage.ok("init", environment)
        manage.ok("apply", environment, "--yes", "--", f"-target={address}")
        state = tmp_path / "state" / environment
        assert len(moved(module)) == 5
        for before, now in moved(module):
            words = ["state", "mv", f"{address}.{now}", f"{address}.{before}"]
            env = {**os.environ, "TF_DATA_DIR": str(state / "data")}
            subprocess.run(["terraform", f"-chdir={state}/root", *words], env=env, check=True, capture_output=True)
        said = manage.ok("plan", environment, "--", f"-target={address}")
        assert said.count("has moved to") == 5 and "Plan: 0 to add, 0 to change, 0 to destroy" in said, said
