"""What the documents name exists: tests, rules, layers, commands of manage.sh. (Links: test_generated.py.)"""

import re
import subprocess
from pathlib import Path

import yaml

from tests.helpers.charts import DELIVERIES, EXECUTORS
from tests.policy.rules import RULES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "charts/airflow-platform/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TRAPS = ROOT / "docs/reference/chart-traps.md"


def names_of_tests() -> set[str]:
    """Every test function of the suite."""
    return {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }


def refusals() -> set[str]:
    """Every refusal in the layers."""
    layers = [yaml.safe_load(file.read_text()) for file in (ROOT / "values").rglob("*.yaml")]
    return {name for layer in layers if isinstance(layer, dict) for name in layer.get("refusals", {})}


def test_the_traps_are_twenty_five_and_each_names_what_guards_it() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", TRAPS.read_text().replace(r"\|", "/"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 26))
    known = names_of_tests() | set(RULES) | refusals()
    for number, guard in rows:
        named = re.findall(r"`([a-z]\w{4,})`", guard)
        assert [name for name in named if name in known], f"trap {number} names no test, rule or refusal"
        missing = [
            name
            for name in named
            if (name.startswith("test_") or "_" in name)
            and name not in known
            and name.islower()
            and not name.startswith("airflow_")
        ]
        assert not missing, f"trap {number}: {missing} exist nowhere"


def test_every_delivery_executor_and_option_is_told() -> None:
    text = (ROOT / "docs/how-to/layers.md").read_text()
    told = set(re.findall(r"`([a-z0-9-]+)`", text))
    options = {
        file.stem
        for folder in ("values/options", "values/airflow-platform/options")
        for file in (ROOT / folder).glob("*.yaml")
    }
    assert {*DELIVERIES, *EXECUTORS, *options} <= told


def test_every_command_of_manage_sh_in_the_documents_exists() -> None:
    commands = set(
        re.findall(
            r"^  ([a-z]+) {2,}",
            subprocess.run([ROOT / "scripts/manage.sh", "--help"], capture_output=True, text=True, check=True).stdout,
            re.MULTILINE,
        )
    )
    for page in PAGES:
        for used in re.findall(r"manage\.sh ([a-z]+)", page.read_text()):
            assert used in commands, f"{page.name}: manage.sh {used}"


def test_every_page_is_in_the_index() -> None:
    docs = ROOT / "docs"
    linked = set(re.findall(r"\]\(([^)]+\.md)\)", (docs / "README.md").read_text()))
    assert {str(page.relative_to(docs)) for page in docs.rglob("*.md")} - {"README.md"} <= linked
