import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.local.fake_aws import FakeAWS
from scripts.local.manage_sh import Manage, var_arguments

ADMIN = "arn:aws:iam::123456789012:user/administrator"
ISSUER = "https://oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF"
BUILT = {
    "packages": {
        # Beside OIDC the administrator publishes: the fake AWS takes no token, and what it alone enforces is tried so.
        "team_a": {"github": {"repository": "acme/team-a"}, "publishers": {"dev": [ADMIN], "prod": [ADMIN]}},
        "team_a2": {"gitlab": {"project": "acme/data/team-a2"}, "publishers": {"dev": [ADMIN]}},
        "finance": {"publishers": {"dev": [ADMIN]}, "environments": ["dev"]},
    },
    "cluster": {"name": "main", "issuer": ISSUER},
    "readers": [ADMIN],
    "operators": [ADMIN],
    "secrets": {"backend": True},
}
"""What account, dev and prod are built with."""


@pytest.fixture(scope="package")
def aws(tmp_path_factory):
    with FakeAWS(tmp_path_factory.mktemp("aws") / "server.log") as aws:
        yield aws


@pytest.fixture(scope="package")
def manage(aws, tmp_path_factory):
    """With the states in a folder."""
    return Manage({**aws.admin, "AIRFLOW_PLATFORM_STATE_DIR": str(tmp_path_factory.mktemp("state"))})


class Built(dict):
    """Outputs by environment, of an account where everything was applied together; states in the account's bucket."""

    def __init__(self, aws, folder):
        self._env = {**aws.admin, "AIRFLOW_PLATFORM_STATE_DIR": ""}
        self._folder = folder

    def manage(self, environment, **env):
        """manage.sh for one environment."""
        return Manage({**self._env, "TF_DATA_DIR": str(self._folder), **env})

    def arguments(self, environment):
        """Of Terraform, for what was built."""
        known = {"packages": BUILT["packages"]} if environment == "account" else BUILT
        return ["--", *var_arguments(known)]

    def apply(self, environment):
        """Apply it and remember its outputs."""
        manage = self.manage(environment)
        manage.ok("apply", environment, "--yes", *self.arguments(environment))
        self[environment] = json.loads(manage.ok("output", environment))


@pytest.fixture(scope="package")
def built(aws, tmp_path_factory):
    """The account, dev and prod, side by side on a fake AWS of their own (2 minutes, most of it the provider waiting)."""
    built = Built(aws, tmp_path_factory.mktemp("terraform"))
    built.manage("account").ok("init", "account")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(built.apply, ("account", "dev", "prod")))
    return built


@pytest.fixture(autouse=True, scope="session")
def no_missing_cli_config():
    """Terraform warns at each call when this names a file that does not exist."""
    if not Path(os.environ.get("TF_CLI_CONFIG_FILE", "")).is_file():
        os.environ.pop("TF_CLI_CONFIG_FILE", None)
