"""The smallest package that shows each code: `# <-` marks the line that the finding must name."""

from __future__ import annotations

import io
import textwrap
import zipfile
from dataclasses import dataclass
from pathlib import Path

from airflow_dag_publisher.validate import Code

GOOD = """
from airflow.sdk import DAG
d = DAG("sales_good", default_args={"owner": "sales"}, tags=["sales"])
"""


@dataclass(frozen=True)
class Case:
    """Files of a package, and the one finding that they must give.

    Args:
        code: of the finding.
        files: text or bytes by path.
        path: of the finding, if not the first file's.
        says: a part of its message: what is wrong, or the way out.
        name: to tell cases of one code apart.
        dag_files: files that must have a DAG.
    """

    code: Code
    files: dict[str, str | bytes]
    says: str
    path: str = ""
    name: str = ""
    dag_files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.code}-{self.name}" if self.name else self.code

    @property
    def place(self) -> tuple[str, int]:
        path = self.path or next(iter(self.files))
        text = self.files.get(path, "")
        lines = text.splitlines() if isinstance(text, str) else []
        return path, next((n for n, line in enumerate(lines, 1) if "# <-" in line), 0)


def write(folder: Path, files: dict[str, str | bytes]) -> dict[str, Path]:
    """Write `files` below `folder`; return them as `validate_package` wants them."""
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
    return {path: folder / path for path in files}


def dag(body: str) -> dict[str, str | bytes]:
    """A package of one file."""
    return {"dag.py": f"from airflow.sdk import DAG, dag, task\n{textwrap.dedent(body)}"}


def labelled(arguments: str) -> dict[str, str | bytes]:
    """A package of one DAG that has owner and tags, made with `arguments` on a line of their own."""
    return dag(f'd = DAG(\n{arguments}  # <-\n, default_args={{"owner": "sales"}}, tags=["sales"])\n')


def task(imports: str, arguments: str = "") -> dict[str, str | bytes]:
    """A package with `imports` on a marked line and a good DAG."""
    return {"dag.py": f"{imports}  # <-\n{GOOD}{arguments}"}


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.py", "")
    return buffer.getvalue()


_OPERATOR = "from airflow.providers.standard.operators.python import PythonOperator\n"

STATIC = [
    Case(Code.UNSAFE_NAME, {".env": "SECRET=1", "dag.py": GOOD}, "rename it", name="hidden"),
    Case(Code.UNSAFE_NAME, {"a b ": "x", "dag.py": GOOD}, "rename it", name="space at the end"),
    Case(Code.NAME_CLASH, {"Notes.md": "x", "dag.py": GOOD, "notes.md": "x"}, "case alone", path="notes.md"),
    Case(Code.FILE_SIZE, {"big.py": b"#" * (512 * 1024 + 1), "dag.py": GOOD}, "524,288 bytes"),
    Case(Code.ZIP_ARCHIVE, {"book.xlsx": archive(), "dag.py": GOOD}, "unpack it"),
    Case(Code.IGNORE_FILE, {".airflowignore": "#\nx\n!keep.py  # <-\n", "dag.py": GOOD}, "leave it out", name="negation"),
    Case(Code.IGNORE_FILE, {".airflowignore": "x\\ # y\n", "dag.py": GOOD}, "does not compile", name="backslash before a comment"),
    Case(Code.IGNORE_FILE, {".airflowignore": "[z\u2028-a]\n", "dag.py": GOOD}, "does not compile", name="line of Unicode"),
    Case(Code.IGNORE_FILE, {".airflowignore": "[z-a]\n", "dag.py": GOOD}, "dag-processor", name="range"),
    Case(Code.IGNORE_FILE, {".airflowignore": b"caf\xe9", "dag.py": GOOD}, "UTF-8", name="not utf-8"),
    Case(Code.IGNORE_FILE, {".airflowignore": b"\xef\xbb\xbfold/\n", "dag.py": GOOD}, "ignores nothing", name="byte order mark"),
    Case(Code.NOT_TEXT, {"dag.py": b"\n# caf\xe9 airflow dag"}, "save it as UTF-8", name="latin-1"),
    Case(Code.NOT_TEXT, {"dag.py": b"x = 1\n\0"}, "NUL", name="nul"),
    Case(Code.SYNTAX, {"dag.py": "def f(:  # <-\n    pass\n"}, "is not Python 3.12"),
    Case(Code.SYNTAX, {"dag.py": "x = 1\nreturn x  # <-\n"}, "'return' outside function", name="compile only"),
    Case(Code.SYNTAX, {"helper.py": f"x = {'(' * 300}{')' * 300}\n", "dag.py": GOOD}, "", name="nesting"),
    Case(Code.NO_DAG, {"helper.py": "x = 1\n"}, "add one", path="sales", name="package"),
    Case(Code.NO_DAG, {"a.py": "import airflow  # no dag\n", "dag.py": GOOD}, "top level", name="dag file", dag_files=("a.py",)),
    Case(Code.NO_DAG, {"a.py": "x = 1\n", "dag.py": GOOD}, "passes over", name="safe mode", dag_files=("a.py",)),
    Case(Code.NO_DAG, dag("@dag\ndef sales_x(): ..."), "call the function", name="not called", dag_files=("dag.py",)),
    Case(Code.NO_DAG, dag('DAG("sales_x", default_args={"owner": "s"}, tags=["s"])  # <-'), "bound to no name", name="not bound"),
    Case(Code.DAG_ID_PREFIX, labelled('dag_id="report"'), "name it 'sales_report'", name="keyword"),
    Case(Code.DAG_ID_PREFIX, dag('d = DAG("report", default_args={"owner": "s"}, tags=["s"])  # <-'), "sales_", name="positional"),
    Case(
        Code.DAG_ID_PREFIX,
        dag('@dag(default_args={"owner": "s"}, tags=["s"])  # <-\ndef report(): ...\nreport()'),
        "name it 'sales_report'",
        name="function name",
    ),
    Case(
        Code.DAG_ID_PREFIX,
        dag('@dag("report", default_args={"owner": "s"}, tags=["s"])  # <-\ndef sales_report(): ...\nsales_report()'),
        "sales_report",
        name="decorator",
    ),
    Case(Code.DAG_ID_PREFIX, dag('TEAM = "eu"\nd = DAG(f"{TEAM}_x", default_args={"owner": "s"}, tags=["s"])  # <-'), "'eu_x'", name="constant"),
    Case(
        Code.DAG_ID_PREFIX,
        dag('for x in "ab":\n    d = DAG(f"report_{x}", default_args={"owner": "s"}, tags=["s"])  # <-'),
        "begins with 'report_'",
        name="loop",
    ),
    Case(
        Code.DAG_ID_PREFIX,
        {"dag.py": 'import airflow.models as m\nd = m.DAG("report", default_args={"owner": "s"}, tags=["s"])  # <-\n'},
        "sales_report",
        name="module alias",
    ),
    Case(Code.DAG_ID_LENGTH, labelled(f'"sales_{"x" * 58}"'), "64 characters"),
    Case(Code.DAG_ID_CHARACTERS, labelled('"sales_täglich"'), "letters, digits"),
    Case(Code.DAG_ID_CHARACTERS, labelled('"sales_daily-"'), "both ends", name="last character"),
    Case(
        Code.DAG_ID_DUPLICATE,
        {"a.py": GOOD, "b.py": GOOD.rstrip() + "  # <-\n"},
        "defined in a.py:3 too",
        path="b.py",
    ),
    Case(Code.DAG_ID_DUPLICATE, {"dag.py": GOOD + GOOD.replace("\n", "", 1).rstrip() + "  # <-\n"}, "in line 3 too", name="one file"),
    Case(Code.CRON, labelled('"sales_x", schedule="61 * * * *"'), "not a cron expression"),
    Case(Code.CRON, labelled('"sales_x", schedule="@quarterly"'), "0 0 1 */3 *", name="preset that Airflow 3 lost"),
    Case(Code.CRON, labelled('"sales_x", schedule="0 0 30 2 *"'), "never comes", name="never"),
    Case(
        Code.CRON,
        task("from airflow.timetables.trigger import CronTriggerTimetable; t = CronTriggerTimetable('* *', timezone='UTC')"),
        "not a cron expression",
        name="timetable",
    ),
    Case(Code.OWNER, dag('d = DAG("sales_x", tags=["sales"])  # <-'), "default_args"),
    Case(Code.OWNER, dag('d = DAG("sales_x", tags=["sales"], default_args={"owner": "airflow"})  # <-'), "default_args", name="default"),
    Case(Code.TAGS, dag('d = DAG("sales_x", default_args={"owner": "sales"})  # <-'), 'tags=["sales"]'),
    Case(Code.TAGS, dag('d = DAG("sales_x", default_args={"owner": "sales"}, tags=[])  # <-'), 'tags=["sales"]', name="empty"),
    Case(Code.REMOVED_ARGUMENT, labelled('"sales_x", schedule_interval="@daily"'), "write schedule="),
    Case(Code.REMOVED_ARGUMENT, labelled('"sales_x", fail_stop=True'), "write fail_fast=", name="fail_stop"),
    Case(
        Code.REMOVED_ARGUMENT,
        {"dag.py": f"{_OPERATOR}{GOOD}PythonOperator(task_id='x', provide_context=True)  # <-\n"},
        "leave it out",
        name="operator",
    ),
    Case(Code.IGNORED_ARGUMENT, labelled('"sales_x", sla_miss_callback=print'), "DeadlineAlert"),
    Case(Code.REMOVED_IMPORT, task("from airflow.operators.python_operator import PythonOperator"), "airflow.providers.standard"),
    Case(Code.REMOVED_IMPORT, task("from airflow.utils.dates import days_ago"), "start_date", name="name"),
    Case(Code.REMOVED_IMPORT, task("import airflow.contrib.hooks"), "airflow.providers", name="import"),
    Case(Code.DEPRECATED, task("from airflow.operators.bash import BashOperator"), "airflow.providers.standard"),
    Case(Code.LOCAL_IMPORT, {"dag.py": f"from .utils import x  # <-\n{GOOD}", "utils.py": "x = 1"}, "'from sales.dags.utils import x'", name="relative"),
    Case(Code.LOCAL_IMPORT, {"dag.py": f"from utils import x  # <-\n{GOOD}", "utils.py": "x = 1"}, "'from sales.dags.utils import x'", name="bare"),
    Case(Code.LOCAL_IMPORT, {"a/dag.py": f"import utils.db  # <-\n{GOOD}", "utils/db.py": "x = 1"}, "sales.dags.utils.db", name="root"),
    Case(Code.FOREIGN_IMPORT, task("from finance.dags.helpers import x"), "copy what you need"),
    Case(Code.FOREIGN_IMPORT, task("import finance"), "copy what you need", name="known name"),
    Case(Code.UNKNOWN_MODULE, task("import no_such_module"), "image"),
    Case(Code.UNKNOWN_MODULE, task("from sales.helpers import x"), "sales.dags.<file>", name="own"),
    Case(Code.RESOLVED_PATH, {"dag.py": f"from pathlib import Path\n{GOOD}here = Path(__file__).resolve().parent  # <-\n"}, "Path(__file__).parent"),
    Case(Code.RESOLVED_PATH, {"dag.py": f"import os.path\n{GOOD}here = os.path.realpath(__file__)  # <-\n"}, "Path(__file__).parent", name="realpath"),
]  # fmt: skip

# Only a run can tell; all are files of one package, so that Airflow is started once.
PARSE = [
    Case(Code.IMPORT_ERROR, {"raises.py": "# airflow dag\nraise ValueError('no\\nway')  # <-\n"}, "ValueError: no way"),
    Case(
        Code.IMPORT_ERROR,
        {"exits.py": "# airflow dag\nimport sys\nsys.exit(3)  # <-\n"},
        "SystemExit: 3",
        name="sys.exit",
    ),
    Case(
        Code.IMPORT_ERROR,
        {"interrupted.py": "# airflow dag\nraise KeyboardInterrupt\n"},
        "KeyboardInterrupt",
        name="interrupt",
    ),
    Case(
        Code.IMPORT_ERROR,
        {"imports_broken.py": "# airflow dag\nimport sales.dags.lib.broken\n", "lib/broken.py": "x = 1\n1 / 0  # <-\n"},
        "ZeroDivisionError: division by zero (imported by imports_broken.py)",
        path="lib/broken.py",
        name="in a helper",
    ),
    Case(
        Code.CYCLE,
        {
            "cycle.py": "from airflow.sdk import DAG\nfrom airflow.providers.standard.operators.empty import EmptyOperator\n"
            "with DAG('sales_cycle') as d:\n    a, b = EmptyOperator(task_id='a'), EmptyOperator(task_id='b')\n    a >> b >> a\n"
        },
        "Cycle detected",
    ),
    Case(
        Code.SERIALIZATION,
        {
            "lambda.py": "from airflow.sdk import DAG, Param\nfrom airflow.timetables.base import Timetable\n"
            "class Odd(Timetable): ...\n"
            "d = DAG('sales_lambda', schedule=Odd(), default_args={'owner': 's'}, tags=['s'])\n"
        },
        "sales_lambda",
    ),
    Case(
        Code.CRON,
        {"cron.py": "from airflow.sdk import DAG\ns = '61 * * * *'.strip()\nd = DAG('sales_cron', schedule=s)\n"},
        "out of range",
    ),
    Case(
        Code.DAG_ID_PREFIX,
        {"computed.py": "from airflow.sdk import DAG\nd = DAG('a b'.split()[0], tags=['s'])  # <-\n"},
        "'a'",
    ),
    Case(
        Code.NEEDS_VARIABLE,
        {"variable.py": "from airflow.sdk import DAG, Variable\nVariable.get('x')  # <-\n"},
        "{{ var.value.name }}",
    ),
    Case(Code.PARSE_TIMEOUT, {"loops.py": "# airflow dag\nwhile True:  # <-\n    pass\n"}, "too slow to import"),
    Case(
        Code.PARSE_TIMEOUT,
        {
            "stubborn.py": "# airflow dag\nimport signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True:\n    pass\n"
        },
        "still running after",
        name="deaf to signals",
    ),
    Case(Code.PARSE_MEMORY, {"eats.py": "# airflow dag\nx = [0] * 10**9  # <-\n"}, "too much memory"),
    Case(Code.PARSE_CRASH, {"leaves.py": "# airflow dag\nimport os\nos._exit(0)\n"}, "exit code 0", name="os._exit"),
    Case(
        Code.PARSE_CRASH, {"killed.py": "# airflow dag\nimport os\nos.kill(os.getpid(), 9)\n"}, "SIGKILL", name="killed"
    ),
]

# Shown by tests of their own: they are about the package, the environment or a repository.
ELSEWHERE = {Code.PACKAGE_NAME, Code.PACKAGE_SIZE, Code.PYTHON_VERSION, Code.UNREADABLE, Code.NO_PARSE}
ELSEWHERE |= {Code.LINKED_FOLDER, Code.BROKEN_LINK, Code.OUTSIDE_LINK, Code.NO_PACKAGE}
