"""Cluster policies: Airflow imports this module and calls `dag_policy`, `task_policy` and `pod_mutation_hook`.

They guard against mistakes, not against hostile code: a DAG file runs in the very process that judges it and could
replace these functions. Teams that do not trust each other need environments of their own.

    dag_policy          a DAG is its package's: its file's first folder below the root of the bundle decides, and its id
                        says so. Its id is usable as a label, its tasks have an owner, it has tags. A run of it that
                        fails is told to the platform's notifiers.
    task_policy         the pods of KubernetesPodOperator go to the jobs' namespace, with the package's service account
                        and the labels `app` and `dag_id`; what failed stays to be read, unless its author says otherwise.
    pod_mutation_hook   pods there get what Pod Security `restricted` asks for and their author left open; a task pod of
                        KubernetesExecutor syncs its own package alone, in its run's version. Both stay on their node while they run.

dag-processor and task runner both call the first two, for each DAG of a file (airflow/dag_processing/dagbag.py,
`bag_dag`); the last is called where a pod is made: in the task runner for the operator, in the scheduler for the executor.
Beside this file lie `dag_protocol.py`, `policy.json`, which the chart renders from its values, `dag_job_pods.py`,
and `dag_walk.py` and `dag_results.py`, which keep one package's files from ending the dag-processor for all, and
`dag_bundle.py`: they are put into their places here, since Airflow imports this module in every process.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

import yaml
from airflow.configuration import conf
from airflow.exceptions import AirflowClusterPolicyViolation

import dag_bundle
import dag_job_pods
import dag_results
import dag_walk
from dag_protocol import VERSION_PATTERN, check_package

# Airflow copies every public name of this module over its own settings, if this list does not hold it back.
__all__ = ["dag_policy", "pod_mutation_hook", "task_policy"]

MAX_DAG_ID = 63  # ids are Kubernetes labels
STAYS = {"karpenter.sh/do-not-disrupt": "true", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
"""Annotations of a pod that is not moved to save a node: it would begin its work anew. What the author set stays."""
DEFAULT_OWNER = "airflow"  # of a task that names none
POD_OPERATOR = "airflow.providers.cncf.kubernetes.operators.pod.KubernetesPodOperator"
SYNC_CONTAINER = "dag-sync-init"
XCOM_SIDECAR = "airflow-xcom-sidecar"
NOBODY = 65534
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")

log = logging.getLogger(__name__)


def dag_policy(dag: Any) -> None:
    """Refuse a DAG that could be another package's, or that nobody could find the team of; have its failures told."""
    settings = _settings.read()
    package = _package(dag, settings)
    _check_id(dag, package, settings)
    _check_team(dag, package)
    _packages[dag.dag_id] = package
    _tell_failures(dag, settings)


def task_policy(task: Any) -> None:
    """Give pods of a package its namespace, its account and its labels; refuse another package's account."""
    operator = _pod_operator(task)
    if operator is None:
        return
    settings = _settings.read()
    dag_job_pods.keep_failed(operator, settings.jobs_namespace)
    package = _package(task.dag, settings)
    namespace = _written(task, "namespace", "metadata", "namespace")
    if namespace is None:
        namespace = settings.jobs_namespace
        _set(task, "namespace", namespace)
    if namespace == settings.jobs_namespace:  # accounts of packages are there and nowhere else
        account = _written(task, "service_account_name", "spec", "serviceAccountName")
        if account is None and settings.has_account(package):
            _set(task, "service_account_name", _kubernetes_name(package))
        _check_account(
            account, package, settings, f"task {task.task_id!r} of DAG {task.dag.dag_id!r} in {_where(task.dag)}"
        )
    labels = _get(task, "labels") or {}
    if isinstance(labels, dict):  # else from another task, and the hook adds them
        _set(task, "labels", {**labels, "app": package, "dag_id": task.dag.dag_id})


def pod_mutation_hook(pod: Any) -> None:
    """Finish a pod that is about to be made, by KubernetesPodOperator or by KubernetesExecutor."""
    settings = _settings.read()
    labels = pod.metadata.labels or {}
    of_executor = labels.get("kubernetes_executor") == "True"
    workload = _workload(pod) if of_executor else {}
    package = _package_of_workload(workload, settings) if of_executor else _packages.get(labels.get("dag_id", ""))
    if package:
        pod.metadata.labels = {**labels, "app": package}
    if package and of_executor:
        _sync_only(pod, package, _version_of_workload(workload))
    pod.metadata.annotations = {**STAYS, **(pod.metadata.annotations or {})}
    if pod.metadata.namespace != settings.jobs_namespace:
        return
    if package and not of_executor:
        _give_account(pod, package, settings)
    _restrict(pod, settings.fixed_ids)


# --- what the chart says ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """The contents of policy.json. The defaults are the strict ones.

    Args:
        default_package: whose files directly in the root are; None: nobody's.
        dag_ids: ids that need not begin with their package's name.
        jobs_namespace: where packages' pods run.
        packages: those with a service account there; empty: any.
        on_failure: notifiers that are told of each failed run; the path of a class, and its arguments as JSON.
        fixed_ids: whether a pod may ask for a user by number; OpenShift gives each namespace its own.
    """

    default_package: str | None = None
    dag_ids: frozenset[str] = frozenset()
    jobs_namespace: str = "etl-jobs"
    packages: frozenset[str] = frozenset()
    on_failure: frozenset[tuple[str, str]] = frozenset()
    fixed_ids: bool = True

    def has_account(self, package: str) -> bool:
        """Whether a service account of the package's name is in the jobs' namespace."""
        return not self.packages or package in self.packages


class SettingsFile:
    """policy.json, read again when it changed: Kubernetes updates a ConfigMap under a running process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] | None = None
        self._settings: Settings | None = None

    def read(self) -> Settings:
        """The settings; the strict defaults, and a line in the log, while the file is missing or broken."""
        try:
            stat = self.path.stat()
            seen: tuple[int, ...] = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        except OSError:
            seen = ()
        if self._settings is None or seen != self._seen:
            self._seen = seen
            try:
                self._settings = _decode(self.path.read_bytes())
            except (OSError, ValueError, RecursionError) as error:
                self._settings = Settings()
                log.error("%s cannot be used (%s): strict rules hold until it is mended", self.path, error)
        return self._settings


def _decode(data: bytes) -> Settings:
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    namespace = document.get("jobs_namespace", Settings.jobs_namespace)
    default = document.get("default_package") or None  # the chart writes "" for none
    if not (isinstance(namespace, str) and namespace):
        raise ValueError("'jobs_namespace' is not a name")
    return Settings(
        default and check_package(default),
        frozenset(_names(document, "dag_ids")),
        namespace,
        frozenset(check_package(p) for p in _names(document, "packages")),
        frozenset(_notifiers(document)),
        document.get("fixed_ids") is not False,
    )


def _names(document: dict[str, Any], field: str) -> list[str]:
    names = document.get(field, [])
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ValueError(f"{field!r} is not a list of names")
    return names


def _notifiers(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    entries = document.get("on_failure") or []
    if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
        raise ValueError("'on_failure' is not a list of objects")
    for entry in entries:
        classpath, kwargs = entry.get("classpath"), entry.get("kwargs", {})
        if not (isinstance(classpath, str) and isinstance(kwargs, dict)):
            raise ValueError("'on_failure' has an entry without a 'classpath', or whose 'kwargs' is no object")
        yield classpath, json.dumps(kwargs, sort_keys=True)


# --- whose a DAG is ---------------------------------------------------------------------------------------------

_packages: dict[str, str] = {}  # of the DAGs that this process accepted: the hook sees a pod and no DAG


def _package(dag: Any, settings: Settings) -> str:
    path = _path(dag)
    if path is None:
        raise AirflowClusterPolicyViolation(
            f"DAG {dag.dag_id!r} in {dag.fileloc} lies outside of the DAGs folder, where no package is; "
            "move the file into its package's folder"
        )
    package = _package_of_path(path, settings)
    if package:
        return package
    if len(path.parts) == 1:
        raise AirflowClusterPolicyViolation(
            f"DAG {dag.dag_id!r} in {path} lies directly in the DAGs folder, so in no package; "
            "move the file into its package's folder"
        )
    raise AirflowClusterPolicyViolation(
        f"DAG {dag.dag_id!r} in {path} is in no package, since {path.parts[0]!r} is not usable as a package's name; "
        "name the folder by lower-case words and digits joined by '_', 2 to 40 characters"
    )


def _path(dag: Any) -> PurePath | None:
    """The file below the root of its bundle; links are not followed, so a package's name is still in it.

    Airflow's importer sets `relative_fileloc` before any policy runs (airflow/dag_processing/importers/python_importer.py).
    It is absolute where a bag knows no bundle: `DagBag()`, as some commands and tests make it, reads the DAGs folder.
    """
    path = PurePath(dag.relative_fileloc or dag.fileloc)
    if not path.is_absolute():
        return path
    folder = conf.get_mandatory_value("core", "dags_folder")
    return path.relative_to(folder) if path.is_relative_to(folder) else None


def _where(dag: Any) -> PurePath | str:
    return _path(dag) or str(dag.fileloc)


def _package_of_path(path: PurePath, settings: Settings) -> str | None:
    if len(path.parts) == 1:
        return settings.default_package
    return path.parts[0] if _is_package(path.parts[0]) else None


def _is_package(name: str) -> bool:
    try:
        return bool(check_package(name))
    except ValueError:
        return False


def _check_id(dag: Any, package: str, settings: Settings) -> None:
    dag_id, where = dag.dag_id, _where(dag)
    if len(dag_id) > MAX_DAG_ID:
        raise AirflowClusterPolicyViolation(
            f"DAG id {dag_id!r} in {where} has {len(dag_id)} characters, {MAX_DAG_ID} is the most that a Kubernetes label "
            "can hold; shorten it"
        )
    if not _LABEL.fullmatch(dag_id):
        raise AirflowClusterPolicyViolation(
            f"DAG id {dag_id!r} in {where} is not usable as a Kubernetes label; "
            "use letters, digits, '_', '-' and '.' only, and a letter or digit at both ends"
        )
    if dag_id in settings.dag_ids:
        return
    owner = _owner_of_id(dag, package, settings)
    if owner is None:
        raise AirflowClusterPolicyViolation(
            f"DAG id {dag_id!r} in {where} does not begin with '{package}_', so it could be another package's; "
            f"name it '{package}_{dag_id}'"
        )
    if owner != package:
        raise AirflowClusterPolicyViolation(
            f"DAG id {dag_id!r} in {where} is one of package {owner!r}, not of {package!r}; "
            "rename the DAG, or move its file to that package"
        )


def _owner_of_id(dag: Any, package: str, settings: Settings) -> str | None:
    """The package whose name the id is or begins with, the longest first: of `team` and `team_a`, the latter."""
    path = _path(dag)
    assert path  # `_package` refused it else
    # A package's own bundle has no other one in it; where the DAGs are, all are.
    roots = (Path(dag.fileloc).parents[len(path.parts) - 1], Path(conf.get_mandatory_value("core", "dags_folder")))
    for name in _beginnings(dag.dag_id):
        if name == package or name in settings.packages:
            return name
        if _is_package(name) and any((root / name).is_dir() for root in roots):
            return name
    return None


def _beginnings(dag_id: str) -> Iterator[str]:
    """`a_b_c`, `a_b`, `a`."""
    while dag_id:
        yield dag_id
        dag_id = dag_id.rpartition("_")[0]


def _check_team(dag: Any, package: str) -> None:
    """The publisher's rules: who is asked when it fails, and how it is found in a list of all teams' DAGs."""
    owners = {task.owner for task in dag.tasks} or {dag.default_args.get("owner", "")}
    if owners & {"", DEFAULT_OWNER}:
        raise AirflowClusterPolicyViolation(
            f"DAG {dag.dag_id!r} in {_where(dag)} has tasks without an owner of their own (Airflow's default is "
            f"{DEFAULT_OWNER!r}); add default_args={{'owner': '<your team>'}}"
        )
    if not dag.tags:
        raise AirflowClusterPolicyViolation(f"DAG {dag.dag_id!r} in {_where(dag)} has no tags; add tags=[{package!r}]")


# --- who is told of failures ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Notifier:
    """Makes a notifier for each call: one renders its templates into itself, and would tell of its first run for ever.

    That shows when dag-processor handles several failed runs of a DAG in one process.
    """

    cls: Any
    kwargs: dict[str, Any]

    def __call__(self, context: Any) -> None:
        self.cls(**self.kwargs)(context)


def _tell_failures(dag: Any, settings: Settings) -> None:
    """Append the platform's notifiers to what the author has called; dag-processor calls them in turn."""
    ours = [n for classpath, kwargs in sorted(settings.on_failure) if (n := _notifier(classpath, kwargs))]
    if not ours:
        return
    given = dag.on_failure_callback
    authors = given if isinstance(given, list) else [] if given is None else [given]
    dag.on_failure_callback = [*(c for c in authors if not isinstance(c, Notifier)), *ours]
    dag.has_on_failure_callback = True  # made with the DAG and serialized: else the scheduler asks for no call


@cache
def _notifier(classpath: str, kwargs: str) -> Notifier | None:
    """None if it cannot be made, and a line in the log, once in a process."""
    module, _, name = classpath.rpartition(".")
    try:
        notifier = Notifier(getattr(import_module(module), name), json.loads(kwargs))
        if not callable(notifier.cls(**notifier.kwargs)):
            raise TypeError("what it makes cannot be called")
    except (Exception, SystemExit) as error:
        log.error("%s is told of no failure, since it cannot be made: %s: %s", classpath, type(error).__name__, error)
        return None
    return notifier


# --- tasks that make pods ---------------------------------------------------------------------------------------


def _pod_operator(task: Any) -> type | None:
    """KubernetesPodOperator, if the task is one. By name: the provider costs a process 85 MB and a second to import, which
    most that parse DAGs never need.
    """
    cls: type = task.operator_class if task.is_mapped else type(task)
    return next((c for c in cls.__mro__ if f"{c.__module__}.{c.__qualname__}" == POD_OPERATOR), None)


def _get(task: Any, argument: str) -> Any:
    if not task.is_mapped:
        return getattr(task, argument, None)
    known = inspect.signature(task.operator_class.__init__).parameters.get(argument)
    default = known.default if known else None  # some subclasses have a namespace of their own
    return task.partial_kwargs.get(argument, default)


def _set(task: Any, argument: str, value: Any) -> None:
    if not task.is_mapped:
        setattr(task, argument, value)
        return
    task.partial_kwargs[argument] = value
    # What is mapped wins over this, as it does in `expand`; `expand_kwargs` would fail the task for naming both.
    task._disallow_kwargs_override = False


def _written(task: Any, argument: str, section: str, key: str) -> Any:
    """What the author wrote: the argument, else in the pod or the template handed over. None: nothing, so far as known."""
    value = _get(task, argument)
    given = getattr(_get(task, "full_pod_spec"), section, None)
    value = value or getattr(given, argument, None)
    template = _get(task, "pod_template_dict") or _template(_get(task, "pod_template_file"))
    return value or (template.get(section) or {}).get(key)


def _template(file: str | None) -> dict[str, Any]:
    """The pod in a template file; nothing if it cannot be read, or not yet, since its name has Jinja in it."""
    if not file:
        return {}
    try:
        pod = yaml.safe_load(Path(file).read_bytes())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return pod if isinstance(pod, dict) else {}


def _kubernetes_name(package: str) -> str:
    return package.replace("_", "-")


def _check_account(account: Any, package: str, settings: Settings, what: str) -> None:
    """Refuse another package's service account. One that is no package's, like `default`, is anybody's."""
    if not isinstance(account, str) or account in ("default", _kubernetes_name(package)):
        return
    other = account.replace("-", "_")
    if _is_package(other) and settings.has_account(other):
        raise AirflowClusterPolicyViolation(
            f"{what} asks for service account {account!r} of package {other!r}; leave service_account_name out to get "
            f"that of {package!r}"
        )


# --- pods -------------------------------------------------------------------------------------------------------


def _workload(pod: Any) -> dict[str, Any]:
    """What a task pod of KubernetesExecutor runs, from its command; nothing if that is not understood."""
    for container in pod.spec.containers:
        args = container.args or []
        if "--json-string" in args[:-1]:
            try:
                workload = json.loads(args[args.index("--json-string") + 1])
            except ValueError:
                break
            return workload if isinstance(workload, dict) else {}
    return {}


def _package_of_workload(workload: dict[str, Any], settings: Settings) -> str | None:
    """The package of the DAG, by the file's relative path."""
    given = workload.get("dag_rel_path")
    path = PurePath(given if isinstance(given, str) else "")
    return _package_of_path(path, settings) if path.parts else None


def _version_of_workload(workload: dict[str, Any]) -> str | None:
    """The version that the run is pinned to; None: what is live."""
    version = (workload.get("bundle_info") or {}).get("version")
    return version if isinstance(version, str) and re.fullmatch(VERSION_PATTERN, version) else None


def _sync_only(pod: Any, package: str, version: str | None) -> None:
    said = {"DAG_SYNC_PACKAGES": package} | ({"DAG_SYNC_VERSION": version} if version else {})
    for container in pod.spec.init_containers or []:
        if container.name == SYNC_CONTAINER:
            others = [v for v in container.env or [] if _field(v, "name") not in said]
            container.env = [*others, *({"name": name, "value": value} for name, value in said.items())]


def _give_account(pod: Any, package: str, settings: Settings) -> None:
    account = pod.spec.service_account_name or pod.spec.service_account
    if not account and settings.has_account(package):
        pod.spec.service_account_name = _kubernetes_name(package)
    _check_account(account, package, settings, f"pod {pod.metadata.name!r} of package {package!r}")


def _restrict(pod: Any, fixed_ids: bool) -> None:
    """Add what Pod Security `restricted` asks for. What the author set stays, and is the API server's to refuse."""
    context = pod.spec.security_context = pod.spec.security_context or {}
    _default(context, "runAsNonRoot", True)
    _default(context, "seccompProfile", {"type": "RuntimeDefault"})
    for container in [*pod.spec.containers, *(pod.spec.init_containers or [])]:
        own = container.security_context = container.security_context or {}
        capabilities = _default(own, "capabilities", {"drop": ["ALL"]})
        _default(capabilities, "drop", ["ALL"])
        added = set(_field(capabilities, "add") or [])
        if not (_field(own, "privileged") or added & {"SYS_ADMIN", "CAP_SYS_ADMIN"}):  # no pod can have both
            _default(own, "allowPrivilegeEscalation", False)
        if fixed_ids and container.name == XCOM_SIDECAR and _field(context, "runAsUser") is None:
            _default(own, "runAsUser", NOBODY)  # Airflow adds it, and its image's user is root: it would never start


def _field(item: Any, key: str) -> Any:
    """A field by its name in YAML: the operator takes both dictionaries and models of the client, and mixes them."""
    return item.get(key) if isinstance(item, dict) else getattr(item, _attribute(key))


def _default(item: Any, key: str, value: Any) -> Any:
    """Set a field that is unset. Return what it is then."""
    if _field(item, key) is None:
        if isinstance(item, dict):
            item[key] = value
        else:
            setattr(item, _attribute(key), value)
    return _field(item, key)


def _attribute(key: str) -> str:
    return re.sub("([A-Z])", r"_\1", key).lower()


# Read here once, so that the processes forked for each file find it read, and a broken file is told once and not by each.
_settings = SettingsFile(Path(__file__).with_name("policy.json"))
_settings.read()
dag_walk.install()
dag_results.install()
dag_bundle.install()
