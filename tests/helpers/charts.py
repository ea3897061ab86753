"""Render the charts as `manage.sh` does, once for each case of the session."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.local.outputs import OUTPUTS
from scripts.manage.layers.chart import archive
from scripts.manage.layers.environments import NAMESPACE, VALUES, Environment, check_layers, environments
from scripts.pinned import ROOT, helm, versions
from tests.helpers import helm_cache

EXTRA = ROOT / "tests" / "render" / "values"  # what a delivery leaves to env/<environment>.yaml
OUR_CHART = ROOT / "charts" / "airflow-platform"
KUBE_VERSION = versions()["kubernetes_oldest"]  # helm built from source believes in 1.20
DELIVERIES = sorted(file.stem for file in (VALUES / "delivery").glob("*.yaml"))
EXECUTORS = sorted(file.stem for file in (VALUES / "executor").glob("*.yaml"))

Manifest = dict[str, Any]


class Refused(RuntimeError):
    """Helm refused; the text is what it said."""


@dataclass(frozen=True)
class Case(Environment):
    """One set of layers that is deployed, or could be.

    Args:
        name: of its inventory.
        layers: in order.
        extra: values on top, of the official chart and of ours: what a user writes into env/<environment>.yaml.
    """

    extra: tuple[Path, ...] = ()
    our_extra: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return self.name

    @property
    def files(self) -> tuple[Path, ...]:
        """Values files of the official chart, the outputs included."""
        return (*self.layer_files("airflow"), *self.extra, *self._outputs)

    @property
    def our_files(self) -> tuple[Path, ...]:
        """Values files of our chart."""
        return (*self.layer_files("airflow-platform"), *self.our_extra, *self._outputs)

    @property
    def _outputs(self) -> list[Path]:
        return [OUTPUTS] if "platform/cloud" in self.layers else []


def combination(delivery: str, executor: str, platform: str = "cloud", env: str = "dev", ids: str = "fixed") -> Case:
    """A delivery with an executor."""
    layers = (
        "base",
        f"ids/{ids}",
        f"platform/{platform}",
        f"delivery/{delivery}",
        f"executor/{executor}",
        f"env/{env}",
    )
    extra = tuple(file for file in [EXTRA / f"{delivery}.yaml"] if file.exists())
    ours = tuple(file for file in [EXTRA / "airflow-platform" / f"{delivery}.yaml"] if file.exists())
    return Case(f"{delivery}-{executor}", check_layers(layers, "a combination"), extra, ours)


def with_options(case: Case, *options: str) -> Case:
    """A case with optional layers."""
    layers = (*case.layers[:-1], *(f"options/{option}" for option in options), case.layers[-1])
    name = f"options-{case.of('executor')}"
    extra = (*case.extra, *(file for file in [EXTRA / f"{name}.yaml"] if file.exists()))
    return replace(case, name=name, layers=check_layers(layers, "options"), extra=extra)


ENVIRONMENTS = [Case(name, environment.layers) for name, environment in environments().items()]
COMBINATIONS = [combination(delivery, executor) for delivery in DELIVERIES for executor in EXECUTORS]
OPTIONS = [
    with_options(
        combination("s3-sync", "celery"),
        "celery-autoscaling",
        "flower",
        "pod-identity",
        "secrets-aws",
        "sign-in-oidc",
        "slack",
        "smtp",
    ),
    with_options(combination("s3-sync", "kubernetes"), "pod-identity"),
    *(
        replace(with_options(combination("s3-sync", executor), "own-store"), name=f"own-store-{executor}")
        for executor in EXECUTORS
    ),
    replace(with_options(combination("s3-sync", "celery"), "own-broker"), name="own-broker"),
    with_options(combination("git-sync", "local", "pi", "pi"), "secrets-vault", "sign-in-ldap", "ipv6"),
    replace(with_options(combination("git-sync", "celery", "pi", "pi"), "postgresql-tls"), name="pi-tls"),
]
ON_OPENSHIFT = [
    replace(combination(delivery, executor, ids="openshift"), name=f"openshift-{executor}")
    for delivery, executor in (("s3-sync", "celery"), ("git-sync", "kubernetes"))
]
ON_PI = [
    replace(combination("git-sync", executor, "pi", "pi"), name=f"pi-{executor}")
    for executor in ("celery", "kubernetes")
]
CASES = [*ENVIRONMENTS, *COMBINATIONS, *OPTIONS, *ON_OPENSHIFT, *ON_PI]
INCIDENT = Case("incident", (), (EXTRA / "incident.yaml",))  # what the policies must find


def template(release: str, chart: Path, files: tuple[Path, ...], *arguments: str, fresh: bool = False) -> str:
    """`helm template`, as text; `fresh`: made anew, whatever is in the cache. Raises Refused. Skips the test without helm."""
    program = helm()
    if program is None:
        pytest.skip("helm is not built (make tools)")
    values = [argument for file in files for argument in ("--values", str(file))]
    command = [program, "template", release, str(chart), "--namespace", NAMESPACE, "--kube-version", KUBE_VERSION]
    code, out, err = (helm_cache.made if fresh else helm_cache.template)([*command, *values, *arguments])
    if code:
        raise Refused(err.strip())
    return out


def manifests(text: str) -> list[Manifest]:
    """The objects of a render."""
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


@functools.cache
def ours(case: Case) -> list[Manifest]:
    """Our chart, rendered for a case."""
    return manifests(template("airflow-platform", OUR_CHART, case.our_files))


def content_sha256(file: Path) -> str:
    """Of what a file means: the checksum of our code in base.yaml changes with every change of code, and no fact."""
    return hashlib.sha256(re.sub(rb"(checksum/airflow-platform: ).*", rb"\1", file.read_bytes())).hexdigest()


def found_archive() -> Path:
    """The official chart's archive, which the caller knows to be here."""
    found = archive()
    assert found, "the chart archive is not here"
    return found


def _official_text(case: Case) -> str:
    return template("airflow", found_archive(), case.files)


class Renders:
    """Renders every case in the background, one a core, since one takes 1.4 s; whoever asks waits for its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(os.cpu_count() or 2)
        self._pending: dict[Case, Future[str]] = {}

    def text(self, case: Case) -> str:
        """The official chart, rendered for a case. Raises Refused."""
        if case not in self._pending:
            for each in dict.fromkeys([case, *CASES, INCIDENT]):
                self._pending.setdefault(each, self._pool.submit(_official_text, each))
        return self._pending[case].result()

    def close(self) -> None:
        """Forget what nobody asked for."""
        self._pool.shutdown(cancel_futures=True)


RENDERS = Renders()


@functools.cache
def official(case: Case) -> list[Manifest]:
    """The official chart, rendered for a case."""
    return manifests(RENDERS.text(case))
