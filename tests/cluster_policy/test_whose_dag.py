"""A DAG is its package's: the file's place decides whose it is, and the id says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from .conftest import Policies, dag, write

Parse = Callable[[Mapping[str, str]], dict[str, Any]]
REFUSED = "AirflowClusterPolicyViolation: "


def refusal(result: dict[str, Any]) -> str:
    """The one refusal, when nothing was accepted."""
    assert result["dags"] == []
    (text,) = result["errors"].values()
    assert text.startswith(REFUSED)
    return str(text.removeprefix(REFUSED))


@pytest.mark.parametrize("dag_id", ["sales_report", "sales", "sales_eu_report"])
def test_a_dag_named_for_its_package_is_accepted(parse: Parse, dag_id: str) -> None:
    result = parse({"sales/dags/report.py": dag(dag_id)})
    assert result["dags"] == [dag_id] and not result["errors"]


@pytest.mark.parametrize("dag_id", ["report", "salesreport", "Sales_report", "sales.report"])
def test_a_dag_not_named_for_its_package_is_refused(parse: Parse, dag_id: str) -> None:
    assert refusal(parse({"sales/dags/report.py": dag(dag_id)})) == (
        f"DAG id '{dag_id}' in sales/dags/report.py does not begin with 'sales_', so it could be another package's; "
        f"name it 'sales_{dag_id}'"
    )


def test_a_refused_dag_holds_no_other_of_its_file_back(parse: Parse) -> None:
    result = parse({"sales/dags/two.py": dag("sales_one") + dag("two")})
    assert result["dags"] == ["sales_one"] and len(result["errors"]) == 1


def test_the_longest_package_name_owns_the_id(parse: Parse) -> None:
    """`team_a_report` begins with `team_` too, and `team` won before (protocol review, D1)."""
    files = {"team/dags/x.py": dag("team_a_report"), "team_a/dags/y.py": dag("team_a_other")}
    result = parse(files)
    assert result["dags"] == ["team_a_other"]
    assert result["errors"]["team/dags/x.py"] == REFUSED + (
        "DAG id 'team_a_report' in team/dags/x.py is one of package 'team_a', not of 'team'; "
        "rename the DAG, or move its file to that package"
    )


def test_a_longer_name_that_is_nobodys_owns_nothing(policies: Policies, parse: Parse) -> None:
    policies.say(packages=[])
    (policies.airflow.dags / "team_b").write_text("a file is no package")
    assert parse({"team/dags/x.py": dag("team_b_report")})["dags"] == ["team_b_report"]


def test_a_folder_beside_it_is_a_known_package(policies: Policies, parse: Parse) -> None:
    policies.say(packages=[])
    assert "one of package 'team_b', not of 'team'" in refusal(
        parse({"team/dags/x.py": dag("team_b"), "team_b/dags/empty.txt": ""})
    )


def test_a_package_with_an_account_is_known_before_it_is_delivered(parse: Parse) -> None:
    assert "one of package 'finance', not of 'sales'" in refusal(parse({"sales/dags/x.py": dag("finance_x")}))


def test_a_listed_id_stays_as_it_is_in_any_package(parse: Parse) -> None:
    files = {"sales/dags/x.py": dag("data_collection"), "finance/dags/x.py": dag("data_collections")}
    result = parse(files)
    assert result["dags"] == ["data_collection"] and list(result["errors"]) == ["finance/dags/x.py"]


def test_a_dag_directly_in_the_root_is_refused(parse: Parse) -> None:
    assert refusal(parse({"loose.py": dag("sales_loose")})) == (
        "DAG 'sales_loose' in loose.py lies directly in the DAGs folder, so in no package; "
        "move the file into its package's folder"
    )


def test_a_dag_directly_in_the_root_is_the_default_package_s(policies: Policies, parse: Parse) -> None:
    """The Pi cluster's repository has its DAGs there."""
    policies.say(default_package="financial_screener")
    files = {
        "a.py": dag("financial_screener_daily"),
        "b.py": dag("data_collection"),
        "c.py": dag("other"),
        "d.py": dag("sales_x"),
        "sales/e.py": dag("sales_e"),
        "sales/f.py": dag("financial_screener_f"),
    }
    result = parse(files)
    assert result["dags"] == ["data_collection", "financial_screener_daily", "sales_e"]
    assert sorted(result["errors"]) == ["c.py", "d.py", "sales/f.py"]


@pytest.mark.parametrize("folder", ["Sales", "sales-eu", "s", "sales__eu", "s" * 41])
def test_a_folder_that_no_package_can_be_named_is_refused(parse: Parse, folder: str) -> None:
    assert refusal(parse({f"{folder}/dags/x.py": dag("sales_x")})) == (
        f"DAG 'sales_x' in {folder}/dags/x.py is in no package, since '{folder}' is not usable as a package's name; "
        "name the folder by lower-case words and digits joined by '_', 2 to 40 characters"
    )


def test_a_dag_made_by_a_helper_of_another_package_is_its_files(policies: Policies, parse: Parse) -> None:
    """Airflow takes the file that holds the DAG object, not the one that called DAG()."""
    helper = "from airflow.sdk import DAG\nfrom airflow.providers.standard.operators.empty import EmptyOperator\ndef make(i):\n" \
        "    with DAG(i, default_args={'owner': 'us'}, tags=['t']) as d:\n        EmptyOperator(task_id='one')\n    return d\n"  # fmt: skip
    use = "from finance.helpers import make\n# airflow DAG\nd = make('sales_x')\n"
    assert parse({"finance/helpers.py": helper, "sales/dags/x.py": use})["dags"] == ["sales_x"]


# --- where the folder is ----------------------------------------------------------------------------------------


def test_delivered_by_dag_sync_the_link_s_name_decides(policies: Policies) -> None:
    root = policies.airflow.dags
    version = ".store/packages/sales/20260131T120000Z-1a2b3c4d"
    write(root, {f"{version}/dags/good.py": dag("sales_good"), f"{version}/dags/bad.py": dag("bad")})
    write(root, {".airflowignore": "*\n!*/\n!*.py\n.*/\n"})
    (root / "sales").symlink_to(version)
    result = policies.ask("parse", root=str(root))
    assert result["dags"] == ["sales_good"] and list(result["errors"]) == ["sales/dags/bad.py"]


def test_delivered_by_git_sync_the_folder_below_sub_path_decides(policies: Policies) -> None:
    root = policies.airflow.dags
    write(
        root, {".worktrees/0a1b/dags/sales/good.py": dag("sales_good"), ".worktrees/0a1b/dags/sales/bad.py": dag("bad")}
    )
    (root / "repo").symlink_to(".worktrees/0a1b")
    result = policies.ask("parse", root=f"{root}/repo/dags")
    assert result["dags"] == ["sales_good"] and list(result["errors"]) == ["sales/bad.py"]


def test_a_bag_without_a_bundle_reads_the_dags_folder(policies: Policies, tmp_path: Path) -> None:
    files = {"sales/dags/good.py": dag("sales_good"), "sales/dags/bad.py": dag("bad")}
    assert policies.ask("parse", root=str(write(policies.airflow.dags, files)), bundle=False)["dags"] == ["sales_good"]
    outside = policies.ask("parse", root=str(write(tmp_path, {"sales/dags/good.py": dag("sales_good")})), bundle=False)
    assert "lies outside of the DAGs folder" in refusal(outside)


def test_the_dag_processor_s_child_serializes_what_is_accepted_and_says_what_is_not(policies: Policies) -> None:
    files = {"sales/dags/both.py": dag("sales_good") + dag("bad")}
    result = policies.ask("process", root=str(write(policies.airflow.dags, files)), file="sales/dags/both.py")
    assert list(result["dags"]) == ["sales_good"]
    assert result["errors"]["both.py"].startswith(f"{REFUSED}DAG id 'bad' in sales/dags/both.py does not begin with")


POD = """
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    KubernetesPodOperator(task_id="job", image="i")
"""


@pytest.mark.parametrize(
    ("bundle", "root"), [("dags-folder", "dags"), ("elsewhere", "bundles/git/versions/0a1b2c/src/dags")]
)
def test_the_task_runner_finds_the_same_package_whatever_bundle(policies: Policies, bundle: str, root: str) -> None:
    """A versioned bundle is in a folder of its own, that of a version, far from the DAGs folder."""
    write(policies.airflow.home / root, {"sales/dags/x.py": dag("sales_x", POD), "sales/dags/y.py": dag("y", POD)})
    good = policies.ask("run", bundle=bundle, file="sales/dags/x.py", dag_id="sales_x", task_id="job")
    assert good == {
        "namespace": "etl-jobs",
        "labels": {"app": "sales", "dag_id": "sales_x"},
        "service_account_name": "sales",
    }
    assert policies.ask("run", bundle=bundle, file="sales/dags/y.py", dag_id="y", task_id="job") == {"exit": 1}
