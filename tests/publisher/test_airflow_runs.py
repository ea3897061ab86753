"""Which runs need which version: asked of Airflow's REST API, which may be away, closed, or something else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_dag_publisher import airflow_runs
from airflow_dag_publisher.airflow_runs import Run, in_words, unfinished_runs
from airflow_dag_publisher.errors import Exit, Failure

Answer = tuple[int, Any]
OLD = "20260101T000000Z-00000001"


def run(number: int, bundle: str = "sales", version: str | None = OLD) -> dict[str, Any]:
    """A run as Airflow's API shows it."""
    return {
        "dag_id": f"{bundle}_x", "dag_run_id": f"r{number}", "state": "running", "bundle_version": version,
        "dag_versions": [{"bundle_name": bundle, "bundle_version": version}],
    }  # fmt: skip


@pytest.fixture
def airflow() -> Iterator[Callable[[Callable[[dict[str, Any], str], Answer]], str]]:
    """Serves what a function answers to a question and its token; gives the address."""
    servers: list[ThreadingHTTPServer] = []

    def serve(answer: Callable[[dict[str, Any], str], Answer]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, document = answer(asked, self.headers.get("Authorization", ""))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(document.encode() if isinstance(document, str) else json.dumps(document).encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=[0.02]).start()
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_runs_of_the_package_are_told_by_version_over_all_pages(airflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_runs, "PAGE", 2)
    everything = [run(0), run(1, "finance"), run(2), run(3, version=None), run(4)]

    def answer(asked: dict[str, Any], token: str) -> Answer:
        assert token == "Bearer secret" and asked["states"] == ["queued", "running"]
        return 200, {"dag_runs": everything[asked["page_offset"] : asked["page_offset"] + asked["page_limit"]]}

    found = unfinished_runs(airflow(answer), "secret", "sales")
    assert found == {
        OLD: [Run("sales_x", f"r{n}", "running") for n in (0, 2, 4)],
        "": [Run("sales_x", "r3", "running")],
    }
    assert (
        in_words(found[OLD]) == "3 runs, like sales_x r0" and in_words(found[""]) == "sales_x r3" and in_words([]) == ""
    )


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ((401, {}), Exit.DENIED, "set AIRFLOW_PLATFORM_AIRFLOW_TOKEN to a token that may read runs"),
        ((403, {}), Exit.DENIED, "refuses (403)"),
        ((500, "no"), Exit.NO_ANSWER, "cannot be asked which runs need which version"),
        ((404, "<html>"), Exit.NO_ANSWER, "cannot be asked"),
        ((200, "<html>a page</html>"), Exit.NO_ANSWER, "is no Airflow 3"),
        ((200, {"dags": []}), Exit.NO_ANSWER, "is no Airflow 3"),
        ((200, {"dag_runs": ["x"]}), Exit.NO_ANSWER, "is no Airflow 3"),
    ],
)
def test_what_cannot_tell_is_said_in_a_sentence(airflow: Any, answer: Answer, code: Exit, says: str) -> None:
    with pytest.raises(Failure) as failed:
        unfinished_runs(airflow(lambda *_: answer), None, "sales")
    assert failed.value.exit_code == code and says in failed.value.message


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "not a url", "ftp://x"])
def test_an_address_that_answers_nothing_is_said(url: str) -> None:
    with pytest.raises(Failure, match="cannot be asked"):
        unfinished_runs(url, None, "sales")
