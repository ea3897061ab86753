"""Whatever the bytes, `validate` answers: it never raises, and never takes long."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_dag_publisher.validate import Code, validate_package
from tests.validate.cases import GOOD, STATIC, write

CORPUS = [c.encode() if isinstance(c, str) else c for case in STATIC for c in case.files.values() if len(c) < 5000]
NAMES = st.sampled_from(["dag.py", "DAG.PY", ".airflowignore", "a/.airflowignore", "data.bin", "a/b.py"]) | st.text(
    max_size=20
)


@st.composite
def spoiled(draw):
    """A file of the other tests with some bytes replaced: gets further than noise does."""
    data = draw(st.sampled_from(CORPUS))
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.binary(max_size=8)) + data[at + draw(st.integers(0, 8)) :]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(NAMES, st.binary(max_size=200) | spoiled(), max_size=4),
    package=st.just("sales") | st.text(max_size=10),
)
def test_any_bytes_under_any_name_give_a_report(files, package, tmp_path):
    paths = {}
    for number, (path, content) in enumerate(files.items()):
        paths[path] = tmp_path / str(number)
        paths[path].write_bytes(content)
    report = validate_package(package, paths, parse="never", dag_files=[*files, "no-such-file"])
    assert report.to_json()


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "-" * 100_000 + "1",
        "x = " + "a+" * 50_000 + "1",
        "x = " + "a." * 50_000 + "a",
        "x = " + "[" * 100_000,
        "if " + "not " * 20_000 + "x: pass",
        "if x: pass\n" + "elif x: pass\n" * 3_000,
        GOOD + "x0 = 'a'\n" + "".join(f"x{n} = x{n - 1} + x{n - 1}\n" for n in range(1, 26)) + "d = DAG(x25)",
        GOOD + "".join(f"d{n} = DAG('sales_{n}')\n" for n in range(10_000)),
        "from airflow.sdk import DAG\nD = D + 'x'\nd = DAG(D)",
    ],
    ids=["unary", "sum", "attributes", "brackets", "not", "elif", "doubling", "many DAGs", "itself"],
)
@pytest.mark.timeout(120)  # what hangs ends here
def test_text_made_to_break_readers_is_answered_soon(text, tmp_path):
    files = write(tmp_path, {"dag.py": text, "good.py": GOOD})
    report = validate_package("sales", files, parse="never")
    assert {f.code for f in report.errors} <= {
        Code.SYNTAX,
        Code.DAG_ID_PREFIX,
        Code.DAG_ID_LENGTH,
        Code.DAG_ID_DUPLICATE,
        Code.OWNER,
        Code.TAGS,
    }
