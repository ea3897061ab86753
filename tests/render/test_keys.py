"""No key in our values is dead: `make test-keys` proved it for exactly these files."""

import yaml

from scripts.manage.layers.environments import VALUES
from tests.render import dead_keys


def test_the_proof_is_of_the_values_and_charts_of_today() -> None:
    kept = yaml.safe_load(dead_keys.RESULT.read_text())
    now = dead_keys.inputs()
    moved = sorted(name for name in kept["inputs"].keys() | now.keys() if kept["inputs"].get(name) != now.get(name))
    assert not moved, f"changed since the proof: {', '.join(moved)}; run `make test-keys`"


def test_the_proof_covers_every_key_of_every_layer() -> None:
    kept = yaml.safe_load(dead_keys.RESULT.read_text())["keys"]
    assert kept == {
        str(file.relative_to(VALUES)): len(list(dead_keys.leaves(yaml.safe_load(file.read_text()))))
        for file, _ in dead_keys.layer_files()
    }
