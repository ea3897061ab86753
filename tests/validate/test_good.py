"""DAGs that are right must pass without a word: a check that cries wolf is switched off."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from airflow_dag_publisher.validate import Code, collect, validate_package
from tests.validate.cases import write

EXAMPLES = Path(__file__).parents[2] / "examples"
ARGUMENTS = 'default_args={"owner": "sales"}, tags=["sales"]'

GOOD: dict[str, str | bytes] = {
    ".airflowignore": "# drafts\ndrafts/  # not yet\n",
    "drafts/later.py": "from airflow import DAG\nd = DAG('whatever', schedule=None)\n",
    "with_block.py": f"from airflow.sdk import DAG\nwith DAG('sales_with', schedule='@once', {ARGUMENTS}) as dag: pass\n",
    "variable.py": f"import airflow.sdk as sdk\nNAME = 'x'\nDAG_ID = f'sales_{{NAME}}'\nd = sdk.DAG(dag_id=DAG_ID, {ARGUMENTS})\n",
    "decorator.py": f"from airflow.sdk import dag\n@dag({ARGUMENTS})\ndef sales_decorated(): ...\nsales_decorated()\n",
    "decorator_id.py": f"from airflow.sdk import dag\n@dag('sales_named', {ARGUMENTS})\ndef anything(): ...\nanything()\n",
    "loop.py": f"from airflow.sdk import DAG\nfor x in 'ab':\n    globals()[x] = DAG(f'sales_loop_{{x}}', {ARGUMENTS})\n",
    "rebound.py": f"from airflow.sdk import DAG\nname = 'any'\nfor name in ['sales_rebound']:\n    d = DAG(name, {ARGUMENTS})\n",
    "computed.py": f"from airflow.sdk import DAG\nd = DAG('_'.join(['sales', 'joined']), {ARGUMENTS})\n",
    "branches.py": f"import os\nfrom airflow.sdk import DAG\nif os.name == 'x':\n    d = DAG('sales_branch', {ARGUMENTS})\n"
    f"else:\n    d = DAG('sales_branch', {ARGUMENTS})\n",
    "arguments.py": "from airflow.sdk import DAG\nCOMMON = dict(default_args=dict(owner='sales'), tags=['sales'])\nd = DAG('sales_open', **COMMON)\n",
    "owner_of_task.py": "from airflow.providers.standard.operators.empty import EmptyOperator\nfrom airflow.sdk import DAG\n"
    "with DAG('sales_task_owner', tags=['sales']):\n    EmptyOperator(task_id='a', owner='sales')\n",
    "continuous.py": f"from airflow.sdk import DAG\nd = DAG('sales_continuous', schedule='@continuous', max_active_runs=1, {ARGUMENTS})\n",
    "factory.py": "# airflow: a DAG made by a helper\nfrom sales.dags.helpers.factory import make\na = make('sales_factory')\nb = make('sales_factory_2')\n",
    "helpers/__init__.py": "",
    "helpers/factory.py": f"from airflow.sdk import DAG\nfrom sales.dags.helpers import names\ndef make(dag_id):\n    return DAG(names.check(dag_id), {ARGUMENTS})\n",
    "helpers/names.py": "from .text import same\ndef check(name):\n    return same(name)\n",  # a relative import in a module works
    "helpers/text.py": "def same(text):\n    return text\n",
    "both_airflows.py": "try:\n    from airflow.sdk import DAG\nexcept ImportError:\n    from airflow.operators.dummy import DummyOperator\n"
    f"d = DAG('sales_compatible', {ARGUMENTS})\n",
    "types.py": f"from typing import TYPE_CHECKING\nfrom airflow.sdk import DAG\nif TYPE_CHECKING:\n    import not_in_the_image\n    from finance.dags.lib import x\nd = DAG('sales_types', {ARGUMENTS})\n",
    "other_image.py": "from airflow.sdk import DAG, task\n@task.virtualenv(requirements=['polars'])\ndef f():\n    import polars\n"
    f"with DAG('sales_other_image', {ARGUMENTS}):\n    f()\n",
    "own_operator.py": "from airflow.sdk import DAG, BaseOperator\nclass MineOperator(BaseOperator):\n    def __init__(self, provide_context=False, **kw):\n"
    f"        super().__init__(**kw)\nwith DAG('sales_own_operator', {ARGUMENTS}):\n    MineOperator(task_id='a', provide_context=True)\n",
    "reader.py": f"from pathlib import Path\nfrom airflow.sdk import DAG\nSQL = Path(__file__).parent.joinpath('q.sql').read_text()\nd = DAG('sales_reader', {ARGUMENTS})\n",
    "bom.py": "\ufefffrom airflow.sdk import DAG\n" + f"d = DAG('sales_bom', {ARGUMENTS})\n",
    "q.sql": "SELECT 1",
    "logo.png": b"\x89PNG\r\n\x1a\n\0",
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write(tmp_path_factory.mktemp("good"), GOOD)


def test_good_dags_pass_when_read(files):
    report = validate_package("sales", files, parse="never")
    assert list(map(str, report.findings)) == []


def test_good_dags_pass_when_parsed_and_all_their_ids_are_known(files):
    report = validate_package("sales", files, parse="always")
    assert list(map(str, report.findings)) == []
    assert set(report.dag_ids) == {
        "sales_with", "sales_x", "sales_decorated", "sales_named", "sales_loop_a", "sales_loop_b", "sales_joined", "sales_rebound",
        "sales_branch", "sales_open", "sales_task_owner", "sales_continuous", "sales_factory", "sales_factory_2",
        "sales_compatible", "sales_types", "sales_other_image", "sales_own_operator", "sales_reader", "sales_bom",
    }  # fmt: skip


def test_a_single_file_with_a_computed_dag_is_not_said_to_have_none(tmp_path):
    files = write(
        tmp_path,
        {
            "dag.py": GOOD["factory.py"],
            "helpers/factory.py": GOOD["helpers/factory.py"],
            "helpers/names.py": "def check(x): return x",
        },
    )
    report = validate_package("sales", files, parse="never", dag_files=["dag.py"])
    assert list(map(str, report.findings)) == []


def test_airflows_own_examples_are_right_but_for_what_this_platform_asks():
    """Some hundred DAGs by people who know how: whatever else is said of them is a false alarm."""
    spec = importlib.util.find_spec("airflow.example_dags")
    assert spec and spec.submodule_search_locations
    files = collect(dags_dir=Path(next(iter(spec.submodule_search_locations))))
    report = validate_package("sales", files, parse="never")
    assert len(report.dag_ids) > 50
    asked = {Code.DAG_ID_PREFIX, Code.OWNER, Code.TAGS}
    assert [str(f) for f in report.findings if f.code not in asked] == []


@pytest.mark.parametrize("package", ["sales", "finance"])
def test_the_examples_pass(package):
    files = collect(dags_dir=EXAMPLES / package / "dags")
    report = validate_package(package, files, parse="always", other_packages=["sales", "finance"])
    assert list(map(str, report.findings)) == []
    assert report.parsed
    assert len(report.dag_ids) >= 2
    assert all(dag_id.startswith(f"{package}_") for dag_id in report.dag_ids)
