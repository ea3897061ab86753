"""Who is told of a failed run: the notifiers of policy.json, after those whom the author named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import POLICY, Policies, dag, write
from .mail_server import MailServer

FILE = "sales/dags/x.py"
SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
MAIL = {"classpath": SMTP, "kwargs": {"to": "airflow-failures@example.org"}}
MAIL_TEXT = {**MAIL, "kwargs": MAIL["kwargs"] | {"subject": "DAG {{ dag.dag_id }} failed in run {{ run_id }}"}}  # type: ignore[operator]
WRITER = """
from pathlib import Path
from airflow.sdk.bases.notifier import BaseNotifier
class Writer(BaseNotifier):
    template_fields = ("text",)
    def __init__(self, file, text, **kwargs):
        super().__init__(**kwargs)
        self.file, self.text = file, text
    def notify(self, context):
        with Path(self.file).open("a") as file:
            file.write(self.text + "\\n")
"""
AUTHOR = """
from pathlib import Path
def mine(context): Path({file!r}).open("a").write("author's\\n")
def other(context): raise ValueError("author's mistake")
"""
BAD = {
    "no module": ("nowhere.Notifier", "import os", "ModuleNotFoundError: No module named 'nowhere'"),
    "no class": ("broken.Notifier", "import os", "AttributeError: module 'broken' has no attribute 'Notifier'"),
    "no path": ("Notifier", "import os", "ValueError: Empty module name"),
    "import fails": ("broken.Notifier", "1 / 0", "ZeroDivisionError: division by zero"),
    "import exits": ("broken.Notifier", "import sys; sys.exit(3)", "SystemExit: 3"),
    "arguments": ("broken.Notifier", "class Notifier: ...", "TypeError: Notifier() takes no arguments"),
    "no class at all": ("broken.Notifier", "Notifier = 1", "TypeError: 'int' object is not callable"),
    "no notifier": ("broken.Notifier", "Notifier = dict", "TypeError: what it makes cannot be called"),
}
Parsed = Callable[..., dict[str, Any]]
Fail = Callable[..., list[dict[str, Any]]]


def writer(file: Path, text: str) -> dict[str, Any]:
    return {"classpath": "writing.Writer", "kwargs": {"file": str(file), "text": text}}


def named(notifier: dict[str, Any]) -> str:
    return f"{notifier['classpath']}({dict(sorted(notifier.get('kwargs', {}).items()))})"


def with_callbacks(given: str | None, file: str = "", name: str = "sales_x") -> str:
    """A DAG file with that on_failure_callback, an expression over `mine` and `other`."""
    text = dag(name)
    return AUTHOR.format(file=file) + (
        text.replace(", tags=", f", on_failure_callback={given}, tags=") if given else text
    )


@pytest.fixture
def parsed(policies: Policies) -> Parsed:
    """Write a DAG file and have it parsed, with those notifiers. Return its callbacks."""

    def parse(text: str, notifiers: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        policies.say(on_failure=notifiers)
        answer = policies.ask("callbacks", root=str(write(policies.airflow.dags, {FILE: text})), **more)
        assert isinstance(answer, dict) and not answer["errors"]
        return answer

    return parse


@pytest.fixture
def fail(policies: Policies) -> Fail:
    """Write a DAG file and have runs of it fail, with those notifiers. Return Airflow's lines."""

    def handle(
        text: str,
        notifiers: list[dict[str, Any]],
        runs: tuple[str, ...] = ("manual",),
        task_id: str | None = "one",
        env: dict[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        policies.say(on_failure=notifiers)
        root = str(write(policies.airflow.dags, {FILE: text}))
        answer = policies.ask("fail", root=root, file=FILE, dag_id="sales_x", runs=runs, task_id=task_id, env=env or {})
        lines = answer["log"]
        assert isinstance(lines, list)
        return lines

    return handle


# --- what is on the DAG -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "authors"),
    [
        (None, []),
        ("None", []),
        ("[]", []),
        ("mine", ["mine"]),
        ("[mine]", ["mine"]),
        ("[other, mine]", ["other", "mine"]),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
def test_notifiers_come_once_each_after_the_author_s_own(
    policies: Policies, parsed: Parsed, given: str | None, authors: list[str], times: int
) -> None:
    write(policies.lib, {"writing.py": WRITER})
    one, two = writer(Path("a"), "1"), writer(Path("a"), "2")
    result = parsed(with_callbacks(given), [two, MAIL, one, two], times=times)
    assert result["calls"] == {"sales_x": [*authors, named(MAIL), named(one), named(two)]} and not result["log"]


def test_a_list_that_dags_share_stays_the_author_s(parsed: Parsed) -> None:
    text = "".join(with_callbacks("both", name=name) for name in ("sales_x", "sales_y"))
    text = text.replace("with DAG", "both = globals().get('both', [mine])\nwith DAG")
    assert parsed(text, [MAIL])["calls"] == {name: ["mine", named(MAIL)] for name in ("sales_x", "sales_y")}


@pytest.mark.parametrize(("given", "calls"), [(None, None), ("mine", "mine"), ("[mine]", ["mine"])])
def test_without_notifiers_a_dag_stays_as_it_is(parsed: Parsed, given: str | None, calls: Any) -> None:
    result = parsed(with_callbacks(given), [])
    assert result["calls"] == {"sales_x": calls} and not result["loaded"]


def test_a_policy_without_the_key_names_nobody(policies: Policies) -> None:
    policies.file.write_text(json.dumps({k: v for k, v in POLICY.items() if k != "on_failure"}))
    root = str(write(policies.airflow.dags, {FILE: dag("sales_x")}))
    assert policies.ask("callbacks", root=root)["calls"] == {"sales_x": None}


@pytest.mark.parametrize(("notifiers", "flag"), [([], None), ([MAIL], True)])
def test_the_scheduler_sees_that_there_is_somebody_to_tell(
    policies: Policies, notifiers: list[dict[str, Any]], flag: bool | None
) -> None:
    """It asks for a call where the serialized DAG has the flag, and only there (airflow/models/dagrun.py)."""
    policies.say(on_failure=notifiers)
    result = policies.ask("process", root=str(write(policies.airflow.dags, {FILE: dag("sales_x")})), file=FILE)
    assert result["dags"]["sales_x"]["dag"].get("has_on_failure_callback") is flag and not result["errors"]


@pytest.mark.parametrize("case", BAD)
def test_a_notifier_that_cannot_be_made_is_one_line_and_no_loss(policies: Policies, parsed: Parsed, case: str) -> None:
    classpath, module, error = BAD[case]
    write(policies.lib, {"broken.py": module})
    bad = {"classpath": classpath, "kwargs": {"cat": 1}}
    text = with_callbacks("mine", name="sales_x") + with_callbacks(None, name="sales_y")
    result = parsed(text, [bad, MAIL], times=2)
    assert result["calls"] == {"sales_x": ["mine", named(MAIL)], "sales_y": [named(MAIL)]}
    assert result["log"] == [f"{classpath} is told of no failure, since it cannot be made: {error}"]
    assert parsed(text, [bad])["calls"] == {"sales_x": "mine", "sales_y": None}


def test_of_two_that_cannot_be_made_each_is_named(parsed: Parsed) -> None:
    result = parsed(dag("sales_x"), [{"classpath": f"nowhere.{n}"} for n in "BA"])
    assert [line.split()[0] for line in result["log"]] == ["nowhere.A", "nowhere.B"]


# --- what is called ---------------------------------------------------------------------------------------------


def test_a_failed_run_calls_the_author_s_first_and_then_the_notifiers(
    policies: Policies, fail: Fail, tmp_path: Path
) -> None:
    write(policies.lib, {"writing.py": WRITER})
    file = tmp_path / "told"
    fail(with_callbacks("[other, mine]", str(file)), [writer(file, "{{ dag.dag_id }} {{ ti.task_id }} {{ reason }}")])
    assert file.read_text().splitlines() == ["author's", "sales_x one task_failure"]


def test_a_run_that_no_task_failed_calls_them_too(policies: Policies, fail: Fail, tmp_path: Path) -> None:
    write(policies.lib, {"writing.py": WRITER})
    fail(dag("sales_x"), [writer(tmp_path / "told", "{{ dag.dag_id }} {{ run_id }}")], task_id=None)
    assert (tmp_path / "told").read_text() == "sales_x manual\n"


def test_each_of_several_failed_runs_is_told_of(policies: Policies, fail: Fail, tmp_path: Path) -> None:
    """dag-processor handles in one process what failed meanwhile; a notifier called twice tells of its first run twice."""
    write(policies.lib, {"writing.py": WRITER})
    fail(dag("sales_x"), [writer(tmp_path / "told", "{{ run_id }}")], runs=("first", "second"))
    assert (tmp_path / "told").read_text().splitlines() == ["first", "second"]


# --- mail -------------------------------------------------------------------------------------------------------


def test_airflow_s_own_notifier_sends_a_mail_for_each_run(fail: Fail, mail_server: MailServer) -> None:
    fail(dag("sales_x"), [MAIL_TEXT], runs=("first", "second"), env=mail_server.environment)
    mails = mail_server.read()
    assert [mail["Subject"] for mail in mails] == [f"DAG sales_x failed in run {run}" for run in ("first", "second")]
    assert {(mail["To"], mail["From"]) for mail in mails} == {("airflow-failures@example.org", "airflow@example.org")}


@pytest.mark.parametrize(
    ("task_id", "subject"),
    [("one", "DAG sales_x - Task one - Run ID manual in State None"), (None, "{# Licensed to the")],
)
def test_its_default_subject_is_no_good_one(
    fail: Fail, mail_server: MailServer, task_id: str | None, subject: str
) -> None:
    """dag-processor is not told the task's state; without a task the mail has the template as it is. So configure one."""
    fail(dag("sales_x"), [MAIL], task_id=task_id, env=mail_server.environment)
    (mail,) = mail_server.read()
    assert " ".join(mail["Subject"].split()).startswith(subject)
