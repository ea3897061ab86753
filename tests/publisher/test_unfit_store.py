"""A store that loses publishes is refused by `check-store` and by the first publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dag_store import S3Store, Stored
from tests.publisher.conftest import Command


def test_the_command_shows_each_and_the_first_publish_asks(
    command: Command,
    bucket: S3Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    done = command("check-store")
    assert done.code == 0 and done.out.count("ok") == 5
    real = S3Store._put

    def without_conditions(self: Any, key: str, data: bytes, tag: str | None, condition: Any) -> Stored:
        return real(self, key, data, tag, {})

    monkeypatch.setattr(S3Store, "_put", without_conditions)
    command("check-store").failed(4, "cannot be published to")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/a.py").write_text("x = 1\n")
    words = ("publish", "--package-name", "sales", "--no-validate", "--dags-dir", str(tmp_path / "dags"))
    command(*words).failed(4, "cannot be published to", "condition is ignored")
    assert bucket.listing("pointers/dev/sales") == {} and bucket.listing("dev/") == {}
