import pytest

from tests.helpers.fake_aws import FakeAWS
from tests.helpers.terraform import Manage


@pytest.fixture(scope="package")
def aws(tmp_path_factory):
    with FakeAWS(tmp_path_factory.mktemp("aws") / "server.log") as aws:
        yield aws


@pytest.fixture(scope="package")
def manage(aws, tmp_path_factory):
    return Manage({**aws.admin, "AIRFLOW_PLATFORM_STATE_DIR": str(tmp_path_factory.mktemp("state"))})
