"""The plots: SVG that is the same each time it is made from the same figures."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

STYLE: Any = {
    "svg.hashsalt": "dag-sync", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9, "axes.spines.top": False,
    "axes.spines.right": False, "axes.axisbelow": True, "axes.grid": True, "grid.color": "#e4e4e4", "savefig.facecolor": "white",
}  # fmt: skip
OURS = "dag-sync"
COLOURS = {
    "dag-sync": "#0b6e4f", "dag-adopter": "#7fb89f", "aws s3 sync": "#d1495b", "s5cmd sync": "#edae49", "rclone sync": "#30638e",
    "rclone sync --checksum": "#8fb1cc", "aws --version": "#b0b0b0",
}  # fmt: skip
PROMISE = 5.0  # seconds


def latency(result: dict[str, Any]) -> str:
    """Every measured latency, a strip for each kind of change, with its 95th percentile."""
    layouts = sorted({(r["packages"], r["files"]) for r in result["rows"]})
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(layouts), figsize=(5 * len(layouts), 3.4), sharey=True, squeeze=False)
        for axis, (packages, files) in zip(axes[0], layouts, strict=True):
            rows = [r for r in result["rows"] if (r["packages"], r["files"]) == (packages, files)]
            for place, row in enumerate(rows):
                shifts = [place + 0.5 * ((n * 0.618) % 1 - 0.5) for n in range(row["n"])]
                axis.scatter(row["all"], shifts, s=9, color=COLOURS[OURS], alpha=0.5, linewidths=0)
                axis.plot([row["p95"]] * 2, [place - 0.4, place + 0.4], color="black", linewidth=1.6)
            axis.axvline(PROMISE, color=COLOURS["aws s3 sync"], linestyle="--", linewidth=1)
            axis.set_yticks(range(len(rows)), [r["change"] for r in rows])
            axis.set_xlim(0, max(PROMISE * 1.1, *(r["max"] * 1.05 for r in rows)))
            axis.set_title(f"{packages} packages of {files} files", fontsize=9)
            axis.set_xlabel("seconds, pointer to Airflow; bar: 95th percentile; dashed: promise")
        axes[0][0].invert_yaxis()
        return _svg(figure)


def polls(result: dict[str, Any]) -> str:
    """CPU and bytes of a poll, and wall time of a first delivery, by the number of files."""
    panels = (
        ("idle", "cpu", "CPU of a poll, seconds"),
        ("idle", "bytes", "bytes of a poll"),
        ("first", "wall", "first delivery, seconds"),
    )
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
        for axis, (what, field, title) in zip(axes, panels, strict=True):
            for name, colour in COLOURS.items():
                rows = [r for r in result[what] if r["program"] == name and r[field]]
                if rows:
                    width, order = (2.4, 3) if name == OURS else (1.3, 2)
                    axis.plot([r["files"] for r in rows], [r[field] for r in rows], marker="o", markersize=4, label=name,
                              color=colour, linewidth=width, zorder=order)  # fmt: skip
            axis.set(xscale="log", yscale="log", xlabel="files")
            for side in (axis.xaxis, axis.yaxis):
                side.set_major_formatter(lambda value, _: f"{value:,.15g}")
            axis.set_title(title, fontsize=9)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=8)
        figure.tight_layout(rect=(0, 0.08, 1, 1))
        return _svg(figure, tight=False)


def _svg(figure: Any, tight: bool = True) -> str:
    if tight:
        figure.tight_layout()
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


PLOTS: dict[str, Callable[[dict[str, Any]], str]] = {"latency": latency, "polls": polls}
