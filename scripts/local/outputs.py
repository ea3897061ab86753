"""What `manage.sh output` writes, for those who have no AWS: of dev, and of dev with many packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

OUTPUTS = Path(__file__).with_name("outputs.json")
NUMBER = 200
ROLE = "arn:aws:iam::123456789012:role/airflow-dev-job-{}"


def names(number: int = NUMBER) -> list[str]:
    """With a `_`, which no name in Kubernetes has."""
    return [f"team{n:03}_etl" for n in range(number)]


def outputs(folder: Path, number: int = NUMBER) -> Path:
    """The outputs file of dev with that many packages."""
    document: dict[str, Any] = json.loads(OUTPUTS.read_text())
    document["roles"] |= {
        "publishers": {name: ROLE.replace("job", "publish").format(name) for name in names(number)},
        "jobs": {name: ROLE.format(name) for name in names(number)},
    }
    file = folder / "outputs-dev.json"
    file.write_text(json.dumps(document))
    return file
