from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.local.s3_servers import S3Server, running
from tests.ci.runner import Runner, Tokens, package_repository, platform_repository, reset, token_endpoint

ACCOUNT = "123456789012"


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of our own: the buckets have fixed names."""
    with running("moto", tmp_path_factory.mktemp("aws")) as server:
        yield server


@pytest.fixture(scope="session")
def tokens_of_session() -> Iterator[Tokens]:
    with token_endpoint() as tokens:
        yield tokens


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return platform_repository(tmp_path_factory.mktemp("platform") / "airflow-platform")


@pytest.fixture
def buckets(aws: S3Server) -> dict[str, str]:
    """The buckets of dev and prod, as Terraform makes them."""
    reset(aws)
    names = {environment: f"airflow-dags-{environment}-{ACCOUNT}" for environment in ("dev", "prod")}
    for environment, name in names.items():
        aws.bucket(name, environment)
    return names


@pytest.fixture
def machine(
    aws: S3Server, tokens_of_session: Tokens, platform: Path, buckets: dict[str, str], tmp_path: Path
) -> Callable[..., Runner]:
    """Makes a machine with a clone of the package's repository; another folder is run as it is."""
    missing = [tool for tool in ("git", "curl", "jq", "unzip") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not on PATH: {', '.join(missing)}; the pipelines need them")
    tokens_of_session.audiences.clear()
    tokens_of_session.refuses = False

    def make(folder: Path | None = None, real_pip: bool = False) -> Runner:
        where = folder or package_repository(tmp_path / "sales")
        return Runner(where, tmp_path / "machine", aws, tokens_of_session, platform, real_pip)

    return make
