"""docs/reference/iam.md is what Terraform would build today."""

from scripts.maintain.iam_docs import EXAMPLE, FILE, render
from tests.helpers.needs import needs_terraform

pytestmark = needs_terraform


def test_the_page_is_current(manage):
    """`make docs` renews it."""
    assert FILE.read_text() == render(manage.plan("dev", **EXAMPLE))


def test_it_says_what_is_not_isolated():
    text = FILE.read_text()
    assert "**Execution is not.**" in text
    assert "has the role of the worker or the scheduler" in text
