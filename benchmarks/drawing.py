"""The picture of growth: over SSH beside others, and the control plane alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.tables import Line, control_lines, growth_lines
from benchmarks.workloads import CONTROL_COST, CONTROL_MEMORY

#: Okabe and Ito's colours, which colour-blind readers tell apart; ours is the strongest.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")


def draw(results: Mapping[str, Any], file: Path) -> None:
    """Two panels for each of ``growth`` and ``W6`` that were measured."""
    rows = [name for name in ("growth", "W6") if results.get(name)]
    if not rows:
        return
    figure, panels = pyplot.subplots(len(rows), 2, figsize=(11, 4.3 * len(rows)), squeeze=False, layout="constrained")
    for name, (left, right) in zip(rows, panels, strict=True):
        if name == "growth":
            panel(left, "One command over SSH, cold: wall time", "seconds", growth_lines(results[name], "wall"))
            panel(right, "… and the client's CPU time", "seconds", growth_lines(results[name], "client"))
        else:
            control(left, right, results[name])
    figure.get_layout_engine().set(h_pad=0.15, w_pad=0.1)
    figure.savefig(file, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def control(left: Axes, right: Axes, runs: Sequence[Mapping[str, float]]) -> None:
    cost, memory = control_lines(runs)
    panel(left, "Control plane alone: CPU a host-step", "microseconds", cost)
    panel(right, "… and memory", "megabytes", memory)
    for axes, goal in ((left, CONTROL_COST), (right, CONTROL_MEMORY)):
        axes.axhline(goal, color="grey", linestyle=":", linewidth=1)
        spot = (cost[0][1][0], goal)
        axes.annotate(f"goal {goal:,}", spot, (0, 3), textcoords="offset points", color="grey")


def panel(axes: Axes, title: str, unit: str, lines: Sequence[Line]) -> None:
    """Both axes logarithmic, each line with its name at its end."""
    for number, (_, hosts, values) in enumerate(lines):
        style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        axes.plot(hosts, values, linewidth=1.4 if number else 2.2, **style)
    axes.set(xscale="log", yscale="log", xlabel="hosts", ylabel=unit, title=title)
    axes.title.set_fontsize(11)
    axes.set_xticks(sorted({size for _, hosts, _ in lines for size in hosts}))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.set_minor_locator(NullLocator())
    axes.grid(which="major", color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.02, y=0.1)
    names(axes, lines)


def names(axes: Axes, lines: Sequence[Line]) -> None:
    """Names at the lines' ends, moved apart where they would lie on each other."""
    axes.figure.canvas.draw()
    gap = 13.0 * axes.figure.dpi / 72
    ends = []
    for number, (name, hosts, values) in enumerate(lines):
        spot = axes.transData.transform((hosts[-1], values[-1]))
        ends.append((float(spot[1]), number, name, (hosts[-1], values[-1])))
    lowest = float("-inf")
    for height, number, name, point in sorted(ends):
        placed = max(height, lowest + gap)
        lowest = placed
        offset = (placed - height) * 72 / axes.figure.dpi
        axes.annotate(
            name, point, (8, offset), textcoords="offset points", va="center", color=COLOURS[number % len(COLOURS)]
        )
