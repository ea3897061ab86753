"""Whether a file is what `manage.sh output` writes for an environment: what Terraform made, for the charts to read."""

from __future__ import annotations

import json
from pathlib import Path

from jsonschema import Draft202012Validator

from scripts.manage.layers.environments import Environment, LayerError
from scripts.pinned import ROOT

OWN_STORE = "options/own-store"  # there the file is written by hand: no Terraform, no roles
OUTPUTS_SCHEMA = ROOT / "docs" / "reference" / "outputs.schema.json"


def check_outputs(file: Path, place: Environment) -> None:
    """Raise LayerError unless the file is what `manage.sh output` writes for this environment."""
    anew = f"make it with 'manage.sh output {place.name} --file outputs-{place.name}.json'."
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise LayerError(f"{file} cannot be read as the outputs of an environment: {why}; {anew}") from None
    schema = json.loads(OUTPUTS_SCHEMA.read_text())
    if OWN_STORE in place.layers:
        schema["properties"]["roles"] = {"type": "object", "maxProperties": 0}
        anew = "docs/how-to/networks.md shows one for a store of your own."
    for fault in Draft202012Validator(schema).iter_errors(document):
        where = ".".join(map(str, fault.absolute_path)) or "the document"
        raise LayerError(f"{file}: {where}: {fault.message}; {anew}")
    if place.of("platform") != "cloud":
        raise LayerError(f"{place.name} has no AWS side; leave --outputs out.")
    if document["environment"] != place.name:
        raise LayerError(f"{file} is of {document['environment']}, not of {place.name}; {anew}")
