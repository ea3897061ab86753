"""The tables and plots of docs/benchmarks, made from the JSON beside them and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scripts.bench import plots

Result = dict[str, Any]

HEAD = """# Benchmarks
<!-- Made by `python -m scripts.bench report` from the JSON beside it; a test holds them equal. -->

`make bench` measures all of it again, `make bench ARGS="polls mixed"` parts of it. The S3 server is versitygw on loopback, with connections kept open as S3
does; nothing here ran on AWS. Absolute times are of one small, shared machine; ratios were taken in the same run, with the programs in turns.
"""


def write(folder: Path) -> None:
    """Write README.md and the plots."""
    for name, text in documents(folder).items():
        (folder / name).write_text(text)


def documents(folder: Path) -> dict[str, str]:
    """What README.md and the plots have to be, by name."""
    results = {
        part: json.loads((folder / f"{part}.json").read_text())
        for part in SECTIONS
        if (folder / f"{part}.json").exists()
    }
    pictures = {f"{part}.svg": draw(results[part]) for part, draw in plots.PLOTS.items() if part in results}
    parts = [
        HEAD,
        _targets(results),
        *(f"{SECTIONS[part](result)}\n{_machine(result)}" for part, result in results.items()),
    ]
    return {"README.md": "\n".join(parts), **pictures}


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; figures are set right, by the first row."""
    names, body = list(head), [[_cell(value) for value in row] for row in rows]
    right = [
        bool(body) and body[0][n].replace(",", "").replace(".", "").replace("-", "").isdigit()
        for n in range(len(names))
    ]
    lines = [names, ["--:" if one else "---" for one in right], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4f}" if 0 < value < 0.1 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _targets(results: dict[str, Result]) -> str:
    rows = [
        (t["what"], t["measured"], t["at_most"], "yes" if t["met"] else "**no**")
        for r in results.values()
        for t in r["targets"]
    ]
    return "## Targets\n\n" + table(("what", "measured", "at most", "met"), rows)


def _machine(result: Result) -> str:
    m = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in {**m["versions"], **result.get("programs", {})}.items())
    missing = f" Left out, not on this machine: {', '.join(result['left_out'])}." if result.get("left_out") else ""
    return (
        f"{m['date']}, {result['minutes']} minutes; {m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB; load {m['load_at_start'][0]} before, "
        f"{m['load_at_end'][0]} after; Python {m['python']}, {versions}.{missing}\n"
    )


def _latency(result: Result) -> str:
    settings = ", ".join(f"`{name.removeprefix('AIRFLOW__')}={value}`" for name, value in result["settings"].items())
    rows = [
        (f"{r['packages']} packages of {r['files']} files", r["change"], r["n"], r["p50"], r["p95"], r["max"])
        for r in result["rows"]
    ]
    publishes = [(p["command"], p["n"], p["seconds"]) for p in result["publish"]]
    return f"""## From the pointer to Airflow

Seconds from the acknowledged PUT of the pointer until the database of a real Airflow shows it: for each DAG that the change concerns a row that is not stale with
the new text, and the new text in `serialized_dag`; for a removed file a stale row. Each change at a random phase of the polls. All files but two are DAGs that
import the helper and read the data file, so those two changes and the rollback are visible only once every DAG of the package was parsed again.
dag-sync polls each {result["period"]:g} s; {result["database"]}; {settings}.

![Latency](latency.svg)

{table(("layout", "change", "n", "p50", "p95", "max"), rows)}
`airflow-dag-publisher publish` from start to end, one file of {result["rows"][0]["files"]} changed; its pointer is acknowledged just before the end:

{table(("publish", "n", "median seconds"), publishes)}"""


def _polls(result: Result) -> str:
    idle = [
        (r["files"], r["program"], r["requests"], r["bytes"], r["cpu"], r["wall"], r["rss_mib"]) for r in result["idle"]
    ]
    first = [
        (r["files"], r["program"], r["requests"], r["bytes"], r["cpu"], r["wall"], r["rss_mib"])
        for r in result["first"]
    ]
    ratios = [
        (r["files"], _spread(r["idle_cpu"]), _spread(r["start_cpu"]), _spread(r["first_wall"]), _spread(r["first_cpu"]))
        for r in result["ratios"]
    ]
    listing = "; ".join(
        f"{r['packages']:,} packages: {r['requests']} LIST, {r['bytes']:,} bytes" for r in result["listing"]
    )
    head = ("files", "program", "requests", "bytes", "CPU s", "wall s", "peak MiB")
    return f"""## What a poll costs

Files of about 1.4 KB in {result["packages"]} packages; medians of {result["rounds"]} rounds, the largest peak. dag-sync and dag-adopter: an average turn of the running loop (dag-sync of
{result["turns"]}), their start left out, as they start once; the others: a process each poll, as a loop around them does. `aws --version` is how much of that is process start.
The adopter runs once in a cluster, not in every pod, and lists the files too. Bytes are those of the bodies.

![Polls](polls.svg)

{table(head, idle)}
A listing of pointers alone: {listing}.

## First delivery

dag-sync checks every hash and compiles every file; the other programs do not. Options of `aws s3 sync` and rclone that only change what is compared are left out;
requests were counted up to 1,000 files.

{table(head, first)}
### Beside `aws s3 sync`, round by round (median, lowest to highest)

{table(("files", "poll: its CPU, times ours", "`aws --version`: its CPU, times ours", "first delivery: our wall time, parts of its", "our CPU, parts of its"), ratios)}"""


def _spread(ratio: dict[str, Any]) -> str:
    digits = 0 if ratio["median"] > 10 else 2
    low, middle, high = (f"{x:.{digits}f}" for x in (min(ratio["all"]), ratio["median"], max(ratio["all"])))
    return f"{middle} ({low} to {high})"


def _faults(result: Result) -> str:
    names = list(result["rows"][0]["cells"])
    rows = [
        (row["fault"] + (" (moto)" if row["server"] == "moto" else ""), *(row["cells"][name] for name in names))
        for row in result["rows"]
    ]
    return f"""## Where data can be lost

Each cell is one run on a bucket and a folder of its own. Capitals: something was lost, missed, or half there. "Still waiting": killed at {result["limits"][0]:g} s, at
{result["limits"][1]:g} s where programs try many times. "Reader during a publish": samples with files of two versions, samples with a file cut off; it resolves the link once.
A strange name stands beside six good files, written by hand with a manifest that names it; where dag-sync refuses that version it serves the one before, and says so in its log and metrics (`rc 0`).

{table(("fault", *names), rows)}"""


def _mixed(result: Result) -> str:
    rows = [
        (r["reader"], r["reads"], r["mixed"], f"{100 * r['mixed'] / r['reads']:.3f} %", r["flips"], r["seconds"])
        for r in result["rows"]
    ]
    return f"""## Reads during flips

A reader of {result["files"]} files while the package is flipped each {result["period_ms"]:g} ms. One that opens them by path can meet two versions, as behind any link that is flipped;
one that resolves the link once never does. Airflow reads by path; dag-sync touches the files again seconds later, so such a parse heals by itself.

{table(("reader", "reads", "mixed", "rate", "flips", "seconds"), rows)}"""


def _neighbours(result: Result) -> str:
    rows = [(r["beside"], r["p50"], r["p95"], r["worst"], f"{r['unhealthy']} of {r['asked']}") for r in result["rows"]]
    return f"""## A neighbour that publishes bombs

{result["publishes"]} publishes of one small package, from the pointer's PUT to served, while another package publishes a version each second that takes Python
about ten seconds to compile. dag-sync asks once a second.

{table(("beside", "p50 s", "p95 s", "worst s", "/healthz not 200"), rows)}"""


def _terraform(result: Result) -> str:
    steps = list(result["rows"][0]["seconds"])
    rows = [(row["packages"], *(row["seconds"][step] for step in steps)) for row in result["rows"]]
    return f"""## Terraform with many packages

Seconds of `manage.sh plan` and `apply` for dev on the fake AWS, Terraform's and the provider's start included, the minute not that the provider waits
for a bucket's lifecycle rules.

{table(("packages", *steps), rows)}"""


def _cluster(result: Result) -> str:
    steps = list(result["rows"][0]["seconds"])
    rows = [(row["packages"], row["policies"], *(row["seconds"][step] for step in steps)) for row in result["rows"]]
    return f"""## The cluster's side of many packages

Seconds of `manage.sh deploy dev` on a real Kubernetes control plane, both charts and the start of Airflow's pods included; its nodes are fake and pull no
image. A package is a service account; network policies, quota and rights are for all of them.

{table(("packages", "network policies", *steps), rows)}"""


SECTIONS: dict[str, Callable[[Result], str]] = {
    "latency": _latency,
    "polls": _polls,
    "faults": _faults,
    "mixed": _mixed,
    "neighbours": _neighbours,
    "terraform": _terraform,
    "cluster": _cluster,
}
