"""docs/reference/validation.md tells every code, and its examples are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_dag_publisher.validate import Code, validate_package
from tests.validate.cases import PARSE, STATIC, write

PAGE = (Path(__file__).parents[2] / "docs/reference/validation.md").read_text()
SECTIONS = {
    code: (severity, body)
    for code, severity, body in re.findall(r"^### `([a-z-]+)` \((error|warning)\)\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
}
EXAMPLES = {code: m[1] for code, (_, body) in SECTIONS.items() if (m := re.search(r"```python\n(.*?)```", body, re.S))}


def test_every_code_is_on_the_page_in_order():
    assert list(SECTIONS) == [str(code) for code in Code]


@pytest.mark.parametrize("code", SECTIONS)
def test_every_code_has_its_way_out(code):
    assert re.search(r"^Fix: .{10}", SECTIONS[code][1], re.M)


def test_enough_examples_are_run():
    assert len(EXAMPLES) >= 15


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_gives_its_code_and_severity(code, tmp_path):
    files = write(tmp_path, {"dag.py": EXAMPLES[code], "helpers/orders.py": ""})
    findings = validate_package("sales", files, parse="never", dag_files=["dag.py"]).findings
    assert (code, SECTIONS[code][0]) in {(f.code, f.severity) for f in findings}, list(map(str, findings))


def test_codes_shown_by_the_tests_are_the_documented_ones():
    assert {case.code for case in STATIC + PARSE} <= {Code(code) for code in SECTIONS}
