"""A store of one's own behind a proxy, with a CA of its own and static keys: a publish and an edit by hand are visible."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.pinned import ROOT, program
from tests.helpers.charts import OUR_CHART, Refused, manifests, template
from tests.helpers.needs import UNSHARE, needs_namespaces

OUTPUTS = ROOT / "scripts/local/outputs.json"
STORE = ("store.endpoint=https://s3.store.example:9000", "store.staticKeys=true")
PROXY = ("network.proxy=http://10.99.0.1:3128", "network.ownCAs=true", "network.noProxy={.corp.example}")


def rendered(*settings: str) -> list[dict[str, Any]]:
    words = [
        word for setting in ("dagAdopter.enabled=true", "delivery=s3-sync", *settings) for word in ("--set", setting)
    ]
    return manifests(template("airflow-platform", OUR_CHART, (OUTPUTS,), *words))


def variables(*settings: str) -> dict[str, str]:
    """What the ConfigMap that every pod reads has; nothing where there is none."""
    found = [m for m in rendered(*settings) if m["metadata"]["name"] == "airflow-platform-network"]
    return found[0]["data"] if found else {}


@needs_namespaces
@pytest.mark.airflow
def test_all_of_it_works_through_a_proxy_alone(tmp_path: Path) -> None:
    """The variables are those of the chart; the namespace has no other way out and no name server."""
    if not program("versitygw").exists():
        pytest.skip("versitygw is not built (make tools)")
    (tmp_path / "variables").write_text(json.dumps(variables(*STORE, *PROXY)))
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "tests.network.behind_proxy", str(tmp_path / "variables")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "task": "pointers/dev/_environment.json pointers/dev/sales.json",
        "asked": ["CONNECT s3.store.example:9000"],  # and AWS of nothing
    }


def test_without_settings_there_is_no_such_configmap() -> None:
    assert variables() == {}


def test_the_encryption_that_writes_ask_for_reaches_every_program() -> None:
    assert variables("store.encryption=aws:kms")["AIRFLOW_PLATFORM_ENCRYPTION"] == "aws:kms"
    with pytest.raises(Refused, match="encryption"):
        rendered("store.encryption=aes256")


def test_what_is_in_the_cluster_is_reached_without_the_proxy() -> None:
    inside = variables(*PROXY)["NO_PROXY"].split(",")
    assert {
        "airflow-api-server",
        "airflow-pgbouncer.airflow",
        ".svc",
        "localhost",
        "169.254.170.23",
        ".corp.example",
    } <= set(inside)


def test_the_adopter_rolls_and_has_no_role_with_keys_of_its_own() -> None:
    def adopter(*settings: str) -> tuple[Any, Any]:
        objects = {(m["kind"], m["metadata"]["name"]): m for m in rendered(*settings)}
        pod = objects["Deployment", "airflow-dag-adopter"]["spec"]["template"]
        return pod["metadata"]["annotations"], objects["ServiceAccount", "airflow-dag-adopter"]["metadata"].get(
            "annotations"
        )

    with_role, with_keys = adopter(), adopter(*STORE)
    assert with_role[0]["checksum/network"] != with_keys[0]["checksum/network"]
    assert with_role[1] and not with_keys[1]


@pytest.mark.parametrize("name", ["network.proxy", "store.endpoint"])
@pytest.mark.parametrize(
    "url", ["proxy.example.org:3128", "socks5://p:1080", "http://u:secret@p:3128", "http://p:3128/path", "http://p p"]
)
def test_an_address_that_cannot_work_is_one_sentence(name: str, url: str) -> None:
    with pytest.raises(Refused, match=f"{name} is .*give scheme, host and port"):
        rendered(f"{name}={url}")


@pytest.mark.parametrize(
    ("settings", "opened"),
    [
        ((*STORE, *PROXY), {3128, 9000}),
        (("network.proxy=http://proxy.example.org",), {80}),
        (("network.proxy=https://proxy.example.org",), set()),  # 443 is open anyway
    ],
)
def test_the_ports_that_lead_there_are_open_to_whoever_connects(settings: tuple[str, ...], opened: set[int]) -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in rendered(*settings) if m["kind"] == "NetworkPolicy"}
    before = {m["metadata"]["name"]: m["spec"] for m in rendered() if m["kind"] == "NetworkPolicy"}
    assert policies.keys() == before.keys()
    who = {
        "airflow-scheduler",
        "airflow-dag-processor",
        "airflow-triggerer",
        "airflow-api-server",
        "airflow-dag-adopter",
        "jobs",
    }
    for name in policies:
        assert ports(policies[name]) - ports(before[name]) == (opened if name in who else set()), name


def ports(policy: Any) -> set[int]:
    """Those that lead out."""
    return {port["port"] for rule in policy.get("egress") or [] for port in rule["ports"]}
