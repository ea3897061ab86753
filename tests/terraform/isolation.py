"""Who may do what in the buckets: every role, every call, every place. What is not listed as allowed is refused."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from scripts.local.web_identity import Session
from tests.terraform.rig import DEV, PROD

# Names of places, as a publisher of team_a sees them. A prefix is what one lists to see the key.
FILES = {
    "own": "dev/team_a/dags/sub/a+b é.py",
    "team_a2's": "dev/team_a2/dags/a.py",
    "finance's": "dev/finance/dags/a.py",
}
MANIFESTS = {
    "own manifests": "manifests/dev/team_a/v.json",
    "team_a2's manifests": "manifests/dev/team_a2/v.json",
}
POINTERS = {
    "own pointer": "pointers/dev/team_a.json",
    "team_a2's pointer": "pointers/dev/team_a2.json",
}
OTHERS = {
    "beside its dags": "dev/team_a/a.py",
    "the marker": "pointers/dev/_environment.json",
    "logs": "logs/dev/dag_id=team_a_daily/attempt=1.log",
    "another environment's files here": "prod/team_a/dags/a.py",
    "another environment's manifests here": "manifests/prod/team_a/v.json",
    "another environment's pointer here": "pointers/prod/team_a.json",
    "another environment's logs here": "logs/prod/a.log",
    "an environment of a longer name": "dev2/team_a/dags/a.py",
}
IN_PROD = {
    "prod: own": "prod/team_a/dags/a.py",
    "prod: own manifests": "manifests/prod/team_a/v.json",
    "prod: own pointer": "pointers/prod/team_a.json",
    "prod: dev's files there": "dev/team_a/dags/a.py",
}
PLACES = {name: (DEV, key) for name, key in (FILES | MANIFESTS | POINTERS | OTHERS).items()} | {
    name: (PROD, key) for name, key in IN_PROD.items()
}

LIST = {"list", "list_versions"}
READ = LIST | {"get", "get_version"}
EVERY_PLACE_OF_DEV = [*FILES, *MANIFESTS, *POINTERS, "beside its dags", "the marker"]
IN_ITS_BUCKET = [*FILES, *MANIFESTS, *POINTERS, *OTHERS]


def at(places: Iterable[str], *calls: str) -> dict[str, set[str]]:
    """The right to these calls in these places."""
    return {place: set(calls) for place in places}


def together(*rights: dict[str, set[str]]) -> dict[str, set[str]]:
    """Rights of several policies."""
    return {place: set().union(*(r.get(place, set()) for r in rights)) for place in {p for r in rights for p in r}}


# Who works for a whole environment lists its whole bucket: without that right S3 answers 403 for what is not there.
SYNC = together(at(IN_ITS_BUCKET, *LIST), at(EVERY_PLACE_OF_DEV, *READ))
READS_LOGS = together(at(IN_ITS_BUCKET, "list"), {"logs": {"get"}})
WRITES_LOGS = together(READS_LOGS, {"logs": {"put"}})
RUNS_TASKS = together(SYNC, WRITES_LOGS)
ALLOWED: dict[str, dict[str, set[str]]] = {
    "publisher": {
        "own": READ | {"put", "delete"},
        "own manifests": READ | {"put"},
        "own pointer": READ | {"put"},
    },
    "publisher in prod": {
        "prod: own": READ | {"put", "delete"},
        "prod: own manifests": READ | {"put"},
        "prod: own pointer": READ | {"put"},
    },
    "scheduler": RUNS_TASKS,
    "worker": RUNS_TASKS,
    "dag_processor": SYNC,
    "triggerer": WRITES_LOGS,
    "api_server": READS_LOGS,
    "dag_adopter": together(SYNC, at([*MANIFESTS, *POINTERS], "put")),
    "operator": together(
        SYNC,
        at([*MANIFESTS, *POINTERS], "put"),
        at(FILES, "put", "delete", "delete_version"),
        {"logs": READ},
    ),
    "job": {},
}


@dataclass(frozen=True)
class Object:
    """A key with a version that is there."""

    bucket: str
    key: str
    version: str

    @property
    def at(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key}

    @property
    def prefix(self) -> str:
        """A pointer is listed by its whole key, everything else by its folder."""
        return self.key if self.key.startswith("pointers/") else self.key.rpartition("/")[0] + "/"


def _list(operation: str) -> Callable[[Session, Object], str]:
    return lambda who, it: who.call(operation, Bucket=it.bucket, Prefix=it.prefix)


CALLS: dict[str, Callable[[Session, Object], Any]] = {
    "put": lambda who, it: who.call("put_object", **it.at, Body=b"x"),
    "get": lambda who, it: who.call("get_object", **it.at),
    "get_version": lambda who, it: who.call("get_object", **it.at, VersionId=it.version),
    "delete": lambda who, it: who.call("delete_object", **it.at),
    "delete_version": lambda who, it: who.call("delete_object", **it.at, VersionId=it.version),
    "list": _list("list_objects_v2"),
    "list_versions": _list("list_object_versions"),
}
