"""`terraform apply` of an environment, and then whether its bucket's store keeps what publishing builds on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence

from airflow_dag_publisher import store_check
from dag_store import StoreError
from scripts.manage.bucket_export.bucket import Bucket

WAY_OUT = "docs/reference/stores.md says what each part is for"


def main(environment: str, root: str, *arguments: str) -> int:
    """Apply, check, and return Terraform's exit code, or 1 for a store that cannot be published to.

    Args:
        environment: its name.
        root: Terraform's folder.
        arguments: of `terraform apply`.
    """
    terraform = ["terraform", f"-chdir={root}"]
    code = run([*terraform, "apply", *arguments])
    if code != 0:
        return code
    shown = subprocess.run([*terraform, "output", "-json"], capture_output=True, text=True, check=False)
    if shown.returncode:
        return _say(f"{environment} is applied; its outputs cannot be read: {shown.stderr.strip()[-300:]}", 1)
    outputs = {name: output["value"] for name, output in json.loads(shown.stdout or "{}").items()}
    if not {"bucket", "region"} <= outputs.keys():  # applied in part, as was asked for
        return 0
    try:
        return check(Bucket(outputs["bucket"], outputs["region"]), environment)
    except StoreError as error:
        return _say(f"{environment} is applied; whether its store can be published to was not found out: {error}", 0)


def check(bucket: Bucket, environment: str) -> int:
    """Try the store on an object that is taken away again. Raises StoreError."""
    prefix = f"manifests/{environment}/"
    problems = [f"it does not {c.what}: {c.problem}" for c in store_check.check_store(bucket, prefix) if c.problem]
    for _ in bucket.erase(list(bucket.versions(prefix + store_check.PROBE).values())):
        pass
    if not problems:
        return 0
    return _say(f"{environment} is applied, but its store would lose versions: {'; '.join(problems)}; {WAY_OUT}", 1)


def run(command: Sequence[str]) -> int:
    """Run a program, passing on what asks it to end: Terraform then gives its lock back. Return its exit code."""
    # A terminal sends Ctrl-C to both. A handler, unlike SIG_IGN, is not inherited by the program.
    signal.signal(signal.SIGINT, lambda *_: None)
    program = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda number, _: program.send_signal(number))
    code = program.wait()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return code if code >= 0 else 128 - code


def _say(sentence: str, code: int) -> int:
    print(f"manage.sh: {sentence.rstrip('.')}.", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
