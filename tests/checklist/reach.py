"""Where the cluster's Airflow answers, and with whose password."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.checklist.airflow_api import AirflowApi, health
from tests.checklist.kube import Kube, Object, short
from tests.checklist.options import Settings
from tests.checklist.verdict import Open, Wrong

ADMIN = "airflow-admin"  # the secret
FORWARD = 30  # seconds for `kubectl port-forward` to say something


@dataclass(frozen=True)
class Address:
    """Of the UI.

    Args:
        url: like https://airflow.example.org.
        by: who says so.
    """

    url: str
    by: str


def ui(kube: Kube, settings: Settings) -> Address | None:
    """The address that people use: as given, else that of an Ingress to Airflow's API server. Raises Open, Wrong."""
    if settings.airflow_url:
        return Address(settings.airflow_url, "--airflow-url")
    services = {one["metadata"]["name"] for one in _services(kube, settings)}
    for ingress in kube.objects("ingresses", settings.namespace, "networking.k8s.io/v1") or []:
        secure = {host for entry in ingress["spec"].get("tls") or [] for host in entry.get("hosts") or []}
        for rule in ingress["spec"].get("rules") or []:
            for path in (rule.get("http") or {}).get("paths") or []:
                if rule.get("host") and (path["backend"].get("service") or {}).get("name") in services:
                    scheme = "https" if rule["host"] in secure else "http"
                    url = f"{scheme}://{rule['host']}{(path.get('path') or '').rstrip('/')}"
                    return Address(url, f"Ingress {ingress['metadata']['name']}")
    return None


@contextmanager
def signed_in(kube: Kube, settings: Settings, environment: Mapping[str, str]) -> Iterator[AirflowApi]:
    """Airflow's REST API. Raises Open when it cannot be asked, with the reasons."""
    with _reached(kube, settings) as url:
        if token := environment.get("AIRFLOW_TOKEN"):
            yield AirflowApi(url, token=token)
        else:
            yield AirflowApi(url, *_credentials(kube, settings, environment))


@contextmanager
def _reached(kube: Kube, settings: Settings) -> Iterator[str]:
    """An address that answers. No password goes over the network in clear, unless the address was given."""
    address, reasons = ui(kube, settings), list[str]()
    if address and (settings.airflow_url or address.url.startswith("https:")):
        if not (reason := _silent(address.url)):
            yield address.url
            return
        reasons.append(reason)
    if settings.airflow_url:
        raise Open(f"Airflow cannot be asked: {reasons[0]}")
    with _forwarded(kube, settings, reasons) as url:
        yield url


def _silent(url: str) -> str | None:
    """Why it does not answer."""
    try:
        health(url)
    except Wrong as wrong:
        return str(wrong)
    return None


def inside(kube: Kube, settings: Settings) -> str:
    """What tells an Airflow that is down from one that people do not reach."""
    try:
        with _forwarded(kube, settings, []) as url:
            health(url)
    except (Open, Wrong):
        return f"nor by kubectl port-forward: kubectl get pods --namespace {settings.namespace}"
    return "it does by kubectl port-forward, so it is DNS, the Ingress controller or the certificate"


@contextmanager
def _forwarded(kube: Kube, settings: Settings, reasons: list[str]) -> Iterator[str]:
    service = next(iter(_services(kube, settings)), None)
    if not service:
        raise Open(f"no Service with the label component=api-server in {settings.namespace}: docs/how-to/deploy.md")
    process = kube.forward(service["metadata"]["name"], service["spec"]["ports"][0]["port"], settings.namespace)
    try:
        line = _first_line(process)
        port = re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", line)
        if not port:
            reasons.append(f"kubectl port-forward: {short(line) or 'no answer'}")
            raise Open(f"Airflow cannot be asked: {'; '.join(reasons)}; give ARGS=--airflow-url=URL")
        yield f"http://127.0.0.1:{port[1]}"
    finally:
        process.kill()
        process.wait()


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    timer = threading.Timer(FORWARD, process.kill)
    timer.start()
    line = process.stdout.readline().strip()
    timer.cancel()
    return line


def _services(kube: Kube, settings: Settings) -> list[Object]:
    return kube.objects("services", settings.namespace, component="api-server") or []


def _credentials(kube: Kube, settings: Settings, environment: Mapping[str, str]) -> tuple[str, str]:
    if environment.get("AIRFLOW_USERNAME") and environment.get("AIRFLOW_PASSWORD"):
        return environment["AIRFLOW_USERNAME"], environment["AIRFLOW_PASSWORD"]
    secret = kube.secret(ADMIN, settings.namespace)
    if not secret or not {"username", "password"} <= secret.keys():
        raise Open(
            f"no secret {ADMIN} with username and password in {settings.namespace}: set AIRFLOW_USERNAME and AIRFLOW_PASSWORD"
        )
    return secret["username"], secret["password"]
