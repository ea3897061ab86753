"""The pinned container images, and their checker against a real registry on loopback."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from scripts.maintain import images
from scripts.manage.layers.chart import cached
from scripts.pinned import ROOT, versions

PINS: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "versions.yaml").read_text())["images"]
ARCHIVE = cached(versions()["chart"])
OTHER = f"sha256:{'0' * 64}"
BOTH = ["linux/amd64", "linux/arm64"]
Check = Callable[..., tuple[int, str]]


@dataclass
class Registry:
    """Serves indexes, to those with a token for just that repository."""

    address: str = ""
    documents: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)

    def put(self, path: str, document: Any) -> str:
        """Serve this, and return its digest."""
        body = json.dumps(document).encode()
        self.documents[path] = body
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def index(self, name: str, platforms: list[str] = BOTH) -> str:
        """Serve an index under the tag `1` as BuildKit writes one, with an attestation."""
        entries = []
        for platform in [*platforms, "unknown/unknown"]:
            system, architecture = platform.split("/")
            variant = {"variant": "v8"} if architecture == "arm64" else {}
            entries.append({"platform": {"os": system, "architecture": architecture, **variant}})
        return self.put(f"/v2/{name}/manifests/1", {"schemaVersion": 2, "manifests": entries})

    def pin(self, name: str, digest: str | None, **other: Any) -> dict[str, Any]:
        """The pin of what is served under that name."""
        pin = {"repository": f"{self.address}/{name}", "tag": "1", "platforms": BOTH, "digest": digest}
        return pin | {"seen": "here", "platforms_seen": "here"} | other


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    served = Registry()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/token":
                asked = parse_qs(url.query)
                assert asked["service"] == ["of-the-test"]
                return self.answer(200, json.dumps({"token": f"for {asked['scope'][0]}"}).encode())
            if url.path in served.elsewhere:
                return self.answer(307, b"", {"Location": served.elsewhere[url.path]})
            scope = f"repository:{url.path.split('/')[2]}:pull"
            if self.headers["Authorization"] != f"Bearer for {scope}":
                challenge = f'Bearer realm="http://{served.address}/token",service="of-the-test",scope="{scope}"'
                return self.answer(401, b"{}", {"WWW-Authenticate": challenge})
            if url.path in served.answers:
                return self.answer(served.answers[url.path], b"{}")
            body = served.documents.get(url.path)
            if body is not None and "manifests" in url.path:
                assert "vnd.oci.image.index" in self.headers["Accept"] and "manifest.list" in self.headers["Accept"]
            return self.answer(404, b"{}") if body is None else self.answer(200, body)

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield served
        server.shutdown()
        thread.join()


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Write the pins and check them: the exit status, and what was said."""

    def run(*arguments: str, **pins: dict[str, Any]) -> tuple[int, str]:
        file = tmp_path / "versions.yaml"
        file.write_text(yaml.safe_dump({"images": pins}))
        return images.main(["check", "--versions", str(file), *arguments]), capsys.readouterr().out

    return run


@pytest.fixture
def closed() -> Iterator[str]:
    """The address of a port that is taken and that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_equal_and_first_seen_are_well_and_the_line_to_put_in_is_said(registry: Registry, check: Check) -> None:
    equal, first = registry.index("equal"), registry.index("first", [*BOTH, "linux/s390x"])
    status, said = check(equal=registry.pin("equal", equal), first=registry.pin("first", None))
    assert status == 0, said
    assert f"digest equal: {equal}" in said
    assert "digest first seen" in said and f"    digest: {first}\n      seen: asked {registry.address} on 20" in said
    assert said.count("platforms present: linux/amd64, linux/arm64") == 2


def test_a_moved_tag_is_an_error_and_says_both_digests(registry: Registry, check: Check) -> None:
    now = registry.index("moved")
    status, said = check(moved=registry.pin("moved", OTHER))
    assert status == 1
    assert f"digest moved from {OTHER}" in said and f"    digest: {now}\n" in said


def test_a_missing_platform_is_an_error_even_of_an_equal_digest(registry: Registry, check: Check) -> None:
    digest = registry.index("amd", ["linux/amd64"])
    status, said = check(amd=registry.pin("amd", digest))
    assert status == 1
    assert "platforms missing: linux/arm64; it has linux/amd64" in said and "digest equal" in said


def test_a_tag_without_an_index_has_the_platform_of_its_configuration(registry: Registry, check: Check) -> None:
    registry.put("/v2/single/blobs/of-config", {"os": "linux", "architecture": "arm64"})
    digest = registry.put("/v2/single/manifests/1", {"config": {"digest": "of-config"}, "layers": []})
    assert check(single=registry.pin("single", digest, platforms=["linux/arm64"]))[0] == 0
    status, said = check(single=registry.pin("single", digest))
    assert status == 1 and "platforms missing: linux/amd64; it has linux/arm64" in said


def test_a_platform_with_a_variant_wants_that_variant(registry: Registry, check: Check) -> None:
    digest = registry.index("variant")
    assert check(variant=registry.pin("variant", digest, platforms=["linux/arm64/v8"]))[0] == 0
    assert check(variant=registry.pin("variant", digest, platforms=["linux/arm64/v9"]))[0] == 1
    assert check(variant=registry.pin("variant", digest, platforms=["linux/arm"]))[0] == 1


def test_an_unreachable_registry_is_said_and_is_an_error_only_on_demand(
    registry: Registry, check: Check, closed: str
) -> None:
    pins = {
        "there": registry.pin("there", registry.index("there")),
        "away": registry.pin("away", OTHER, repository=f"{closed}/away"),
    }
    status, said = check(**pins)
    assert status == 0, said
    assert f"unreachable, nothing compared: {closed}" in said
    assert "in all: 1 equal, 1 unreachable" in said and "not compared" in said
    status, said = check("--require-all", **pins)
    assert status == 1 and "--require-all makes that an error" in said


def test_what_is_no_registry_s_answer_is_unreachable_and_never_equal(registry: Registry, check: Check) -> None:
    """A registry in trouble, one that has had enough of us, and the page of a hotel's network."""
    for code in (500, 429):
        registry.answers[f"/v2/code-{code}/manifests/1"] = code
        status, said = check(trouble=registry.pin(f"code-{code}", OTHER))
        assert status == 0 and f"{code}" in said and "in all: 1 unreachable" in said
    registry.documents["/v2/page/manifests/1"] = b"<html>Welcome</html>"
    status, said = check(page=registry.pin("page", OTHER))
    assert status == 0 and "not a registry's answer" in said


def test_a_tag_that_is_not_there_is_an_error(registry: Registry, check: Check) -> None:
    status, said = check(gone=registry.pin("gone", OTHER))
    assert status == 1 and "gone: 127.0.0.1 answers 404" in said


def test_a_registry_that_wants_a_login_is_an_error(registry: Registry, check: Check) -> None:
    registry.answers["/v2/private/manifests/1"] = 403
    status, said = check(private=registry.pin("private", OTHER))
    assert status == 1 and "gone: 127.0.0.1 answers 403" in said


def test_it_follows_to_where_the_registry_keeps_the_image(registry: Registry, check: Check) -> None:
    """On another host, as registry.k8s.io does; the token is for that one."""
    digest = registry.index("behind")
    other_host = registry.address.replace("127.0.0.1", "localhost")
    registry.elsewhere["/v2/front/manifests/1"] = f"http://{other_host}/v2/behind/manifests/1"
    status, said = check(front=registry.pin("front", digest))
    assert status == 0 and "digest equal" in said, said


@pytest.mark.parametrize(
    "wrong",
    [
        {"tag": "latest"},
        {"tag": ""},
        {"tag": None},
        {"tag": 7.2},
        {"repository": "redis:7"},
        {"repository": f"redis@{OTHER}"},
        {"digest": "sha256:1234"},
        {"digest": ""},
        {"platforms": []},
        {"platforms": ["amd64"]},
        {"seen": None},
        {"note": "an unknown key"},
    ],
    ids=str,
)
def test_a_pin_that_pins_nothing_is_refused_before_anybody_is_asked(
    registry: Registry, check: Check, wrong: dict[str, Any]
) -> None:
    status, said = check(odd=registry.pin("odd", registry.index("odd")) | wrong)
    assert status == 1 and said.startswith("refused: odd: ") and said.count("\n") == 1


def test_a_pin_without_a_tag_is_refused(registry: Registry, check: Check) -> None:
    pin = registry.pin("odd", None)
    del pin["tag"]
    status, said = check(odd=pin)
    assert status == 1 and said.startswith("refused: odd: ")


@pytest.mark.parametrize(
    ("repository", "location"),
    [
        ("redis", ("registry-1.docker.io", "library/redis")),
        ("apache/airflow", ("registry-1.docker.io", "apache/airflow")),
        ("docker.io/apache/airflow", ("registry-1.docker.io", "apache/airflow")),
        ("docker.io/redis", ("registry-1.docker.io", "library/redis")),
        ("quay.io/prometheus/statsd-exporter", ("quay.io", "prometheus/statsd-exporter")),
        ("localhost/own", ("localhost", "own")),
    ],
)
def test_short_names_mean_what_docker_means(repository: str, location: tuple[str, str]) -> None:
    assert images.Image("it", repository, "1", ("linux/amd64",), None).location == location


def test_versions_yaml_pins_its_images() -> None:
    loaded = images.load((ROOT / "versions.yaml").read_text())
    assert [image.name for image in loaded] == list(PINS)
    assert not any("latest" in image.tag for image in loaded)


@pytest.mark.parametrize("name", PINS)
def test_a_digest_was_seen_somewhere_and_no_digest_nowhere(name: str) -> None:
    assert PINS[name]["seen"].startswith("not seen: ") == (PINS[name]["digest"] is None)


@pytest.mark.parametrize("name", ["airflow", "postgresql", "git-sync", "statsd-exporter"])
def test_what_the_raspberry_pi_runs_has_arm64(name: str) -> None:
    assert "linux/arm64" in PINS[name]["platforms"]


def test_the_airflow_image_is_the_airflow_of_the_rest() -> None:
    assert PINS["airflow"]["tag"] == f"{versions()['airflow']}-python{versions()['python']}"


def test_the_flat_lines_still_read_as_make_reads_them() -> None:
    """`make` and `pinned` take the one line that begins with the name."""
    text = (ROOT / "versions.yaml").read_text()
    names = re.findall(r"^([a-z_0-9]+):", text, re.MULTILINE)
    assert len(names) == len(set(names)) and names[-1] == "images"
    flat = {
        name: re.search(rf'^{name}: *"?([^"\s]+)', text, re.MULTILINE) for name in names[:-1]
    }  # as make and shell do
    assert {name: found and found[1] for name, found in flat.items()} == versions()


def test_the_images_are_those_of_the_chart() -> None:
    if not ARCHIVE.exists():
        pytest.skip(f"the chart's archive is not in the cache: {ARCHIVE}")
    data = ARCHIVE.read_bytes()
    assert hashlib.sha256(data).hexdigest() == versions()["chart_sha256"]
    with tarfile.open(ARCHIVE) as archive:
        member = archive.extractfile("airflow/values.yaml")
        assert member
        values = yaml.safe_load(member.read())
    chart = {
        "airflow": {
            "repository": values["defaultAirflowRepository"],
            "tag": f"{values['defaultAirflowTag']}-python{versions()['python']}",
        },
        "postgresql": values["postgresql"]["image"],
        "git-sync": values["images"]["gitSync"],
        "statsd-exporter": values["images"]["statsd"],
        "redis": values["images"]["redis"],
        "pgbouncer": values["images"]["pgbouncer"],
        "pgbouncer-exporter": values["images"]["pgbouncerExporter"],
    }
    keys = ("repository", "tag")
    assert {n: [p[k] for k in keys] for n, p in PINS.items()} == {n: [p[k] for k in keys] for n, p in chart.items()}
