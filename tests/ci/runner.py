"""Runs the lines of a job as its system does, in a clone, with stand-ins for what is not on this machine.

Real: bash, git, curl, jq, the AWS CLI, boto3, the publisher from a repository at a tag, AssumeRoleWithWebIdentity and S3.
Stand-ins: docker, apk, apt-get, make and terraform write down how they were called; the AWS side is moto, which takes
any token. Who may take which role is what tests/terraform asks.
"""

from __future__ import annotations

import http.server
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from scripts.local.s3_servers import S3Server
from tests.ci.pipelines import ROOT, Job, expanded

TAG = "v0.1.0"  # as in the examples
DIGEST = f"sha256:{'5a' * 32}"
INHERITED = (
    "PATH",
    "LANG",
    "LC_ALL",
    "SSL_CERT_FILE",
    "XDG_CACHE_HOME",
)  # and PIP_*: which index a machine has is its own

RECORD = """\
#!/usr/bin/env bash
printf '%s\\n' "$(basename "$0") $*" >>"$RECORD"
"""
DOCKER = (
    RECORD
    + f"""\
pushed="$RECORD.pushed"
case "$1 $2 $3" in
  "buildx imagetools inspect") grep -qxF "${{@: -1}}" "$pushed" 2>/dev/null || exit 1; echo {DIGEST} ;;
  "buildx build --push") echo "$5" >>"$pushed" ;;
  "login "*) printf 'password %s\\n' "$(cat | wc -c)" >>"$RECORD" ;;
esac
"""
)
TERRAFORM = (
    RECORD
    + """\
[[ -z ${AWS_ROLE_ARN-} ]] || echo "as $AWS_ROLE_ARN with $(cat "$AWS_WEB_IDENTITY_TOKEN_FILE")" >>"$RECORD"
"""
)


def git(folder: Path, *words: str) -> str:
    """Run git as somebody."""
    who = ["-c", "user.name=author", "-c", "user.email=author@example.org", "-c", "init.defaultBranch=main"]
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=180).stdout.strip()


def commit(folder: Path, message: str = "change") -> str:
    """Commit all that is there, and return the commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def platform_repository(folder: Path) -> Path:
    """This platform at a tag: the publisher of the work tree, and what it is linked to."""
    folder.mkdir()
    for path in ("packages/airflow_dag_publisher", "charts/airflow-platform/files", "locks"):
        skipped = shutil.ignore_patterns("__pycache__", ".venv")
        shutil.copytree(ROOT / path, folder / path, symlinks=True, ignore=skipped)
    git(folder, "init", "--quiet")
    commit(folder)
    git(folder, "tag", TAG)
    return folder


def package_repository(folder: Path) -> Path:
    """A repository of package sales, with the image of its jobs."""
    folder.mkdir()
    shutil.copytree(ROOT / "examples/sales/dags", folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "image").mkdir()
    (folder / "image" / "Dockerfile").write_text("FROM scratch\n")
    git(folder, "init", "--quiet")
    commit(folder)
    git(folder, "remote", "add", "origin", folder.as_uri())
    return folder


def platform_checkout(folder: Path) -> Path:
    """A clone of this repository, as the work tree is."""
    skipped = shutil.ignore_patterns(".git", ".build", ".venv", ".terraform", ".hypothesis", "*_cache", "__pycache__")
    shutil.copytree(ROOT, folder, symlinks=True, ignore=skipped)
    git(folder, "init", "--quiet")
    commit(folder)
    git(folder, "remote", "add", "origin", folder.as_uri())
    return folder


@dataclass
class Tokens:
    """GitHub's token endpoint, and for whom both systems' tokens were asked."""

    url: str = ""
    key: str = "of-the-runner"
    audiences: list[str] = field(default_factory=list)
    refuses: bool = False


@contextmanager
def token_endpoint() -> Iterator[Tokens]:
    """Serve it; like the real one its address has a query already."""
    tokens = Tokens()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            allowed = self.headers["Authorization"] == f"bearer {tokens.key}" and query["api-version"] == ["2.0"]
            self.send_response(200 if allowed and not tokens.refuses else 403)
            self.end_headers()
            if allowed and not tokens.refuses:
                tokens.audiences += query["audience"]
                self.wfile.write(json.dumps({"count": 1, "value": "token-of-github"}).encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        tokens.url = f"http://127.0.0.1:{server.server_address[1]}/token?api-version=2.0"
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield tokens
        server.shutdown()
        thread.join()


@contextmanager
def refusing_sts(code: str) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """An STS that gives no role to anybody, for one reason: its address, and what it was asked for."""
    asked: list[dict[str, list[str]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            body = f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>".encode()
            self.send_response(403 if code == "AccessDenied" else 400)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


@dataclass
class Done:
    """What a job did."""

    code: int
    said: str
    called: list[str]  # the stand-ins, with their arguments
    summary: str = ""


@dataclass
class Runner:
    """A machine that runs jobs."""

    folder: Path  # the clone
    work: Path  # for what is beside it
    server: S3Server
    tokens: Tokens
    platform: Path
    real_pip: bool = False

    def __post_init__(self) -> None:
        self.record = self.work / "record"
        self.bin = self.work / "bin"
        self.bin.mkdir(parents=True)
        for name in ("apk", "apt-get", "make"):
            self.stand_in(name, RECORD)
        self.stand_in("docker", DOCKER)
        # The Airflow image has a `python` with Airflow in it; this checkout's environment is that. A `python3 -m venv`
        # makes one that is nearly empty: real once, else a name for the same Python.
        self.stand_in("python", f'#!/usr/bin/env bash\nexec {sys.executable} "$@"\n')
        if not self.real_pip:
            self.stand_in("python3", PYTHON3.format(python=shlex.quote(sys.executable)))

    def stand_in(self, name: str, text: str) -> Path:
        """Put a program on PATH."""
        program = self.bin / name
        program.write_text(text)
        program.chmod(0o755)
        return program

    def run(self, job: Job, event: str, **more: str) -> Done:
        """Run a job's steps until one fails."""
        assert event in job.events, f"{job.id} does not run on {event}"
        git(self.folder, "clean", "--quiet", "-ffdx")  # each job has a checkout of its own
        self.record.write_text("")
        system = self._github(job, event) if "github" in job.id else self._gitlab(job, event)
        output, code = "", 0
        for step in job.steps:
            environment = self._machine() | dict(step.variables) | {"PLATFORM": self.platform.as_uri()} | system | more
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", step.script],
                cwd=self.folder, env=environment, capture_output=True, text=True, timeout=280, check=False,
            )  # fmt: skip
            output, code = output + done.stdout + done.stderr, done.returncode
            if code:
                break
        summary = self.work / "summary"
        return Done(code, output, self.record.read_text().splitlines(), summary.read_text() if summary.exists() else "")

    def pipeline(self, jobs: Iterable[Job], event: str) -> dict[str, Done]:
        """Run the jobs of an event, each after those it needs, and only if they went well; approvals are given."""
        done: dict[str, Done] = {}
        of_event = [job for job in jobs if event in job.events]
        failed = set[str]()
        for job in of_event:
            if failed.intersection(job.needs):
                failed.add(job.name)
                continue
            done[job.name] = self.run(job, event)
            if done[job.name].code:
                failed.add(job.name)
        return done

    def _machine(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith("PIP_")}
        return kept | {
            "PATH": f"{self.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}" if not self.real_pip
            else f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(self.work),
            "TMPDIR": str(self.work),
            "RECORD": str(self.record),
            "CI": "true",
            "NO_PROXY": "127.0.0.1,localhost",
            "AWS_ENDPOINT_URL": self.server.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def _github(self, job: Job, event: str) -> dict[str, str]:
        sha = git(self.folder, "rev-parse", "HEAD")
        given = {"GITHUB_SHA": sha, "GITHUB_STEP_SUMMARY": str(self.work / "summary"), "RUNNER_TEMP": str(self.work)}
        if job.token:  # GitHub gives these to jobs with `id-token: write` alone
            given |= {
                "ACTIONS_ID_TOKEN_REQUEST_URL": self.tokens.url,
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.tokens.key,
            }
        return given

    def _gitlab(self, job: Job, event: str) -> dict[str, str]:
        sha = git(self.folder, "rev-parse", "HEAD")
        given = {"CI_COMMIT_SHA": sha, "CI_PROJECT_DIR": str(self.folder), "CI_PIPELINE_ID": "4711"}
        given |= {
            name: value.replace("$CI_PIPELINE_ID", "4711").replace("$CI_PROJECT_DIR", str(self.folder))
            for name, value in job.variables.items()
            if "$CI_" in value
        }
        for name, token in job.raw.get("id_tokens", {}).items():
            self.tokens.audiences.append(expanded(token["aud"], job.variables))
            given[name] = "token-of-gitlab"
        return given


PYTHON3 = """\
#!/usr/bin/env bash
[[ "$1 $2" == "-m venv" ]] || exec {python} "$@"
mkdir -p "$3/bin"
printf '#!/usr/bin/env bash\\nexec %s "$@"\\n' {python} >"$3/bin/python"
printf '#!/usr/bin/env bash\\nprintf "%%s\\\\n" "pip $*" >>"$RECORD"\\n' >"$3/bin/pip"
chmod +x "$3/bin/python" "$3/bin/pip"
"""


def live(server: S3Server, bucket: str, environment: str, package: str = "sales") -> Mapping[str, object] | None:
    """The manifest of the live version, read as dag-sync does; None where nothing was ever published."""
    client = server.client()
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]]
    pointer = f"pointers/{environment}/{package}.json"
    if pointer not in keys:
        assert keys == [f"pointers/{environment}/_environment.json"], f"something was written: {keys}"
        return None
    version = json.loads(client.get_object(Bucket=bucket, Key=pointer)["Body"].read())["version"]
    key = f"manifests/{environment}/{package}/{version}.json"
    manifest: Mapping[str, object] = json.loads(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    return manifest


def reset(server: S3Server) -> None:
    """An AWS as on the first day."""
    urllib.request.urlopen(
        urllib.request.Request(f"{server.endpoint}/moto-api/reset", method="POST"), timeout=30
    ).close()
