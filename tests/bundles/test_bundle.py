"""The bundle's class alone, over a store as dag-sync leaves it: what is missing is said, and nothing is taken away for it."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from airflow.dag_processing.bundles import base
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.sdk.exceptions import AirflowException

import dag_bundle
from dag_bundle import OtherPackages, PackageBundle

ONE, TWO, THREE = (f"2026010{number}T000000Z-0000000{number}" for number in (1, 2, 3))


class Pod:
    """What a pod has: dag-sync's folders, and Airflow's storage of bundles."""

    def __init__(self, folder: Path) -> None:
        self.dags, self.store, self.storage = folder / "dags", folder / "store", folder / "storage"
        self.packages = self.store / ".store" / "packages"
        for made in (self.dags, self.packages):
            made.mkdir(parents=True)

    def build(self, version: str, package: str = "sales") -> Path:
        """A version on the disk."""
        folder = self.packages / package / version
        (folder / "dags").mkdir(parents=True)
        (folder / "dags" / "x.py").write_text(version)
        return folder

    def flip(self, version: str, package: str = "sales") -> None:
        """Make it live."""
        link = self.dags / package
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(self.packages / package / version, self.dags))

    def bundle(self, version: str | None = None, name: str = "sales", **more: Any) -> PackageBundle:
        return PackageBundle(name=name, version=version, dags=str(self.dags), root=str(self.store), **more)


def text(bundle: PackageBundle) -> str:
    """What Airflow would read by it."""
    return (bundle.path / bundle.name / "dags" / "x.py").read_text()


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pod:
    made = Pod(tmp_path)
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(made.storage))
    monkeypatch.setattr(base, "STALE_BUNDLE_TRACKING_FOLDER", made.storage / "_tracking")
    return made


@pytest.fixture
def dag_sync(pod: Pod) -> Iterator[tuple[str, list[str]]]:
    """Its address, and what it was asked; it builds THREE, and has a sentence for every other version."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            known = self.path.endswith(THREE)
            if known and not (pod.packages / "sales" / THREE).exists():
                pod.build(THREE)
            self.send_response(200 if known else 410)
            self.end_headers()
            self.wfile.write(b"ok\n" if known else b"the bytes of x.py are gone from the bucket\n")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


def test_what_is_live_is_seen_at_the_refresh_and_not_before(pod: Pod) -> None:
    """Text and label change together: a file is never filed under the version before its own."""
    pod.build(ONE)
    pod.build(TWO)
    pod.flip(ONE)
    bundle = pod.bundle()
    bundle.initialize()
    path = bundle.path
    assert (text(bundle), bundle.get_current_version(), bundle.refresh_interval) == (ONE, ONE, dag_bundle.NEVER)
    pod.flip(TWO)
    assert (text(bundle), bundle.get_current_version(), bundle.refresh_interval) == (ONE, ONE, 0)
    bundle.refresh()
    assert (text(bundle), bundle.get_current_version(), bundle.refresh_interval) == (TWO, TWO, dag_bundle.NEVER)
    assert bundle.path == path, "what is queued keeps its path, and would be filed under the next version"


def test_a_run_reads_its_own_version_whatever_is_live(pod: Pod) -> None:
    pod.build(ONE)
    pod.build(TWO)
    pod.flip(TWO)
    bundle = pod.bundle(ONE)
    bundle.initialize()
    assert (text(bundle), bundle.get_current_version()) == (ONE, ONE)
    with pytest.raises(AirflowException, match="never refreshed"):
        bundle.refresh()


def test_a_damaged_version_that_was_built_again_is_taken(pod: Pod) -> None:
    pod.build(ONE)
    bundle = pod.bundle(ONE)
    bundle.initialize()
    (pod.build(f"{ONE}.2") / "dags" / "x.py").write_text("again")
    pod.build(f"{ONE}.10")
    pod.bundle(ONE).initialize()
    assert text(bundle) == f"{ONE}.10"


def test_a_package_that_is_removed_and_comes_back_is_seen_both_times(pod: Pod) -> None:
    """None for its version would be replaced by what is current, and the return be missed (Airflow 3.2)."""
    pod.build(ONE)
    pod.flip(ONE)
    bundle = pod.bundle()
    bundle.initialize()
    (pod.dags / "sales").unlink()
    assert bundle.refresh_interval == 0
    bundle.refresh()
    assert bundle.get_current_version() == "removed" and not (bundle.path / "sales").is_symlink()
    pod.flip(ONE)
    assert bundle.refresh_interval == 0
    bundle.refresh()
    assert text(bundle) == ONE


def test_without_the_store_or_with_a_link_to_nowhere_nothing_is_taken_away(pod: Pod) -> None:
    pod.build(ONE)
    pod.flip(ONE)
    bundle = pod.bundle()
    bundle.initialize()
    pod.flip(TWO)
    with pytest.raises(AirflowException, match="the link of package 'sales' leads nowhere; its DAGs stay"):
        bundle.refresh()
    assert text(bundle) == ONE
    pod.packages.rename(pod.packages.with_name("away"))
    with pytest.raises(AirflowException, match=r"store is not at .*; the DAGs of sales stay as they are"):
        pod.bundle().initialize()


def test_what_is_not_on_the_disk_is_asked_for(pod: Pod, dag_sync: tuple[str, list[str]]) -> None:
    url, asked = dag_sync
    bundle = pod.bundle(THREE, sync_url=url)
    bundle.initialize()
    assert text(bundle) == THREE and asked == [f"/versions/sales/{THREE}"]


def test_what_cannot_be_there_again_is_said_in_dag_syncs_words(pod: Pod, dag_sync: tuple[str, list[str]]) -> None:
    with pytest.raises(AirflowException) as refused:
        pod.bundle(TWO, sync_url=dag_sync[0]).initialize()
    assert str(refused.value) == f"version {TWO} of package 'sales': the bytes of x.py are gone from the bucket"


def test_with_dag_sync_dead_what_is_on_the_disk_works_and_the_rest_says_so(pod: Pod) -> None:
    pod.build(ONE)
    dead = "http://127.0.0.1:9"
    bundle = pod.bundle(ONE, sync_url=dead)
    bundle.initialize()
    assert text(bundle) == ONE
    with pytest.raises(AirflowException, match=r"is not on disk, and dag-sync does not answer"):
        pod.bundle(TWO, sync_url=dead).initialize()


def test_a_proxy_of_the_pod_is_not_asked(
    pod: Pod, dag_sync: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    pod.bundle(THREE, sync_url=dag_sync[0]).initialize()


@pytest.mark.parametrize("version", ["removed", "../../etc", "", "20260101T000000Z-0000000g"])
def test_a_version_that_is_none_is_refused_and_makes_no_folder(pod: Pod, version: str) -> None:
    if version:
        with pytest.raises(AirflowException, match="is no version of package"):
            pod.bundle(version, sync_url="http://127.0.0.1:9").initialize()
    assert not (pod.storage / "sales" / "versions").exists()


def test_folders_of_versions_that_are_pruned_go_unless_a_task_holds_them(pod: Pod) -> None:
    """Airflow's own cleanup is off: it ends the scheduler where a folder is gone already."""
    for version in (ONE, TWO):
        pod.build(version)
        pod.bundle(version).initialize()
    tracking = pod.storage / "_tracking" / "sales" / TWO
    tracking.parent.mkdir(parents=True)
    tracking.write_text("")
    for version in (ONE, TWO):
        (pod.packages / "sales" / version).rename(pod.store / version)
    pod.build(THREE)
    with tracking.open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        pod.bundle(THREE).initialize()
    assert sorted(p.name for p in (pod.storage / "sales" / "versions").iterdir()) == [TWO, THREE]


def test_a_full_volume_is_said(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    pod.build(ONE)
    monkeypatch.setattr(dag_bundle, "_flip", full)
    with pytest.raises(AirflowException, match=r"the link to package 'sales' cannot be made: .*No space left"):
        pod.bundle(ONE).initialize()


def test_other_packages_are_those_without_a_bundle(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = '[{"name": "sales", "classpath": "dag_bundle.PackageBundle", "kwargs": {}}]'
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", listed)
    for package in ("sales", "finance"):
        pod.build(ONE, package)
        pod.flip(ONE, package)
    (pod.dags / ".links").mkdir()
    others = OtherPackages(name="dags-folder", dags=str(pod.dags))
    others.initialize()
    assert [p.name for p in sorted(others.path.iterdir())] == [".airflowignore", "finance"]
    assert others.refresh_interval == dag_bundle.NEVER
    pod.build(TWO, "finance")
    pod.flip(TWO, "finance")
    assert others.refresh_interval == 0, "a flip of one is something new"
    pod.build(ONE, "risk")
    pod.flip(ONE, "risk")
    (pod.dags / "finance").unlink()
    others.refresh()
    assert [p.name for p in sorted(others.path.iterdir())] == [".airflowignore", "risk"]
    pod.dags.rename(pod.dags.with_name("away"))
    with pytest.raises(AirflowException, match="the DAGs in it stay as they are"):
        others.refresh()


def test_a_page_for_a_version_is_what_the_layer_says(pod: Pod) -> None:
    bundle = pod.bundle(view_url_template="https://git.example.org/sales/tree/{version}")
    assert bundle.view_url_template() == "https://git.example.org/sales/tree/{version}"


def test_a_process_with_an_older_list_knows_the_bundle_of_every_package(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dag-processor that began later files DAGs under it, and the tasks that an older scheduler starts would fail."""
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", "[]")
    monkeypatch.setattr(dag_bundle, "DAGS", str(pod.dags))
    dag_bundle.install()
    found = DagBundlesManager().get_bundle("sales", ONE)
    assert isinstance(found, PackageBundle) and (found.name, found.version) == ("sales", ONE)
    with pytest.raises(ValueError, match="is not configured"):
        DagBundlesManager().get_bundle("no-package")
    monkeypatch.setattr(dag_bundle, "DAGS", "/gone")  # another delivery
    with pytest.raises(ValueError, match="is not configured"):
        DagBundlesManager().get_bundle("sales", ONE)


def test_what_is_no_dag_sync_is_said_too(pod: Pod) -> None:
    """Whatever answers at that port: any other exception would end a dag-processor of Airflow 3.2."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=lambda: server.accept()[0].sendall(b"SSH-2.0-x\r\n\r\n"), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(AirflowException, match="is not on disk, and dag-sync does not answer"):
            pod.bundle(TWO, sync_url=url).initialize()


def test_a_storage_that_cannot_be_used_is_said(pod: Pod) -> None:
    pod.build(ONE)
    pod.storage.write_text("a file, where Airflow wants a folder")
    with pytest.raises(AirflowException, match="the storage of bundles cannot be used"):
        pod.bundle(ONE, sync_url="http://127.0.0.1:9").initialize()
