"""How fast meta-training and meta-testing are, beside other ways and beside the arithmetic.

Reads what `make bench` left in results/reference/: nothing here measures anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anml.errors import AnmlError
from anml.figures.arithmetic import floor_seconds
from anml.figures.plot_style import INK, MUTED, TREATMENTS, style

NAMES = ("speed_ways", "speed_sweeps")
FILES = (
    *("cost", "speed_sweeps", "speed_machine", "meta_test_speed", "network_speed"),
    *("beside", "memory_speed"),
)
OURS = "adjoint"
WAYS = {
    OURS: "this companion",
    "autograd": "plain autograd",
    "torchopt": "torchopt",
    "learn2learn": "learn2learn",
    "higher": "higher",
    "autograd, ordinary layers": "plain autograd,\nordinary layers",
    "higher, ordinary layers": "higher,\nordinary layers",
    "released algorithm": "released algorithm\n(first order)",
}
"""The ways of ANML's meta-iteration in the order in which they are shown, and their labels."""
TRAININGS = {"anml": "ANML", "oml": "OML", "pretrain": "Pretrain & Transfer"}
SWEEPS = {
    "inner steps": "inner steps K",
    "width": "channels of the PLN",
    "remember set": "drawings of the remember set",
    "replicas": "replicas R in one program",
}
"""The sweeps in the order in which they are shown, and the names of their axes."""
MEASURED, PREDICTED = TREATMENTS["ANML"].colour, TREATMENTS["OML"].colour


@dataclass(frozen=True)
class Speed:
    """The recorded measurements."""

    costs: pd.DataFrame  # a row for each profile, meta-training and way
    sweeps: pd.DataFrame  # a row for each value of what was varied
    machine: dict[str, str]  # what the numbers were measured on and with
    meta_test: pd.DataFrame  # a row for each treatment's layers, optimiser and way
    network: pd.DataFrame  # a row for each treatment in which convolutions learn, and way
    beside: pd.DataFrame  # a row for each setting of threads, alone and beside a busy process
    memory: pd.DataFrame  # a row for each way of asking for memory


def floor(rows: pd.DataFrame) -> pd.Series:
    """Seconds that the multiply-adds of rows alone take at the speed of a large matrix product.

    That speed, `gflops` (10^9 operations a second, float32), was measured beside each row.
    """
    return floor_seconds(rows["multiply_adds"], rows["gflops"])


def read_speed(folder: Path) -> Speed:
    """Read the seven tables of `make bench` from `folder`.

    Raises:
        AnmlError: one is missing, with the command that makes them.
    """
    missing = [name for name in FILES if not (folder / f"{name}.csv").is_file()]
    if missing:
        raise AnmlError(
            f"no measurements of speed: {', '.join(missing)} (.csv) not in {folder.name}/; "
            "measure on an idle machine with `make bench`"
        )
    costs, sweeps, machine, *others = (pd.read_csv(folder / f"{name}.csv") for name in FILES)
    facts = dict(machine.astype(str).itertuples(index=False))
    return Speed(costs, sweeps, facts, *others)


def speed_values(speed: Speed, profile: str) -> pd.DataFrame:
    """ANML's meta-iteration at a profile's width, one row a way: times, floor, memory, ratio.

    `ratio`: how many times as long as ours; `floor`: of the way's own arithmetic, in seconds.
    """
    costs = speed.costs
    own = costs[(costs["profile"] == profile) & (costs["training"] == "anml")]
    own = own.set_index("way").reindex([way for way in WAYS if way in set(own["way"])])
    own = own.reset_index()
    return pd.DataFrame(
        {
            "way": own["way"],
            **{name: own[name] for name in ("seconds", "fastest", "slowest", "peak_mb")},
            "multiply_adds": own["multiply_adds"],
            "floor": floor(own),
            "gflops": own["gflops"],
            "ratio": own["seconds"] / own.loc[own["way"] == OURS, "seconds"].item(),
            "note": own["note"].astype(object).fillna(""),
        }
    )


def speed_glue(speed: Speed, profile: str) -> dict[str, float | str]:
    """Numbers that prose quotes, by name."""
    values = speed_values(speed, profile).set_index("way")
    own, plain = values.loc[OURS], values.loc["autograd"]
    numbers = {
        f"speed_times_{re.sub(r'[^a-z0-9]+', '_', way)}": values.loc[way, "ratio"]
        for way in values.index
    }
    return {
        **{name: float(value) for name, value in numbers.items()},
        "speed_seconds": float(own["seconds"]),
        "speed_floor": float(own["floor"]),
        "speed_share": float(100 * own["floor"] / own["seconds"]),
        "speed_fewer": float(100 * (1 - own["multiply_adds"] / plain["multiply_adds"])),
        "speed_peak_gb": float(own["peak_mb"] / 1000),
        "speed_gflops": float(own["gflops"]),
        "speed_device": speed.machine["device"],
    }


def ways_figure(values: pd.DataFrame, heading: str) -> Figure:
    """Bars of time and peak memory of each way that was measured; a line for the arithmetic."""
    shown = values[values["seconds"].notna()]
    places = np.arange(len(shown))
    colours = [MEASURED if way == OURS else "#B9C4CC" for way in shown["way"]]
    with style():
        figure = Figure(figsize=(9, 0.9 + 0.47 * len(shown)), layout="constrained")
        figure.suptitle(heading, x=0.01, ha="left", fontsize=9, color=MUTED)
        time, memory = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        spread = [shown["seconds"] - shown["fastest"], shown["slowest"] - shown["seconds"]]
        time.barh(places, shown["seconds"], color=colours, height=0.62)
        time.errorbar(
            *(shown["seconds"], places),
            xerr=np.array(spread),
            fmt="none",
            ecolor=INK,
            elinewidth=1.2,
            capsize=2.5,
        )
        time.plot(
            *(shown["floor"], places),
            linestyle="none",
            marker="|",
            markersize=20,
            markeredgewidth=2.4,
            color=PREDICTED,
            label="its arithmetic alone",
        )
        _say_numbers(time, shown["slowest"], [f"{value:.2g} s" for value in shown["seconds"]])
        time.set(
            title="Time of a meta-iteration",
            xlabel="seconds",
            yticks=places,
            ylim=(-0.6, len(shown) - 0.4),
        )
        time.set_yticklabels([WAYS[way] for way in shown["way"]])
        time.invert_yaxis()
        time.legend(loc="lower right", fontsize=9, markerscale=0.6)
        gigabytes = shown["peak_mb"] / 1000
        memory.barh(places, gigabytes, color=colours, height=0.62)
        _say_numbers(memory, gigabytes, [f"{value:.1f} GB" for value in gigabytes])
        memory.set(title="Peak memory of the process", xlabel="GB")
        for axis in (time, memory):
            axis.grid(axis="y", visible=False)
            axis.tick_params(axis="y", length=0)
    return figure


def _say_numbers(axis: Axes, ends: pd.Series, words: list[str]) -> None:
    """Write each bar's number behind it, and make room for it."""
    for place, (end, word) in enumerate(zip(ends, words, strict=True)):
        axis.annotate(
            word, (end, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9
        )
    axis.set_xlim(0, 1.2 * max(ends))


def sweeps_figure(speed: Speed, heading: str) -> Figure:
    """Four panels: measured time of ANML's meta-iteration, and what the arithmetic alone says."""
    with style():
        figure = Figure(figsize=(9, 6.4), layout="constrained")
        figure.suptitle(heading, x=0.01, ha="left", fontsize=9, color=MUTED)
        panels = figure.subplots(2, 2).flat
        for axis, (name, label) in zip(panels, SWEEPS.items(), strict=True):
            own = speed.sweeps[speed.sweeps["sweep"] == name]
            spread = [own["seconds"] - own["fastest"], own["slowest"] - own["seconds"]]
            axis.errorbar(
                *(own["x"], own["seconds"]),
                yerr=np.array(spread),
                color=MEASURED,
                marker="o",
                capsize=2.5,
                label="measured",
            )
            axis.plot(
                *(own["x"], floor(own)),
                color=PREDICTED,
                linestyle="--",
                marker="s",
                markersize=4,
                label="arithmetic alone",
            )
            title = f"{name.capitalize()}, otherwise as {own['profile'].iloc[0]}"
            axis.set(title=title, xlabel=label, ylabel="seconds", xticks=own["x"])
            axis.set_ylim(bottom=0)
            axis.set_xlim(left=0)
        figure.axes[0].legend(loc="upper left")
    return figure


def sweep_values(speed: Speed) -> pd.DataFrame:
    """What `sweeps_figure` shows: measured and predicted seconds, and their ratio."""
    frame = speed.sweeps[["sweep", "profile", "x", "seconds", "fastest", "slowest"]].copy()
    frame["arithmetic"] = floor(speed.sweeps)
    frame["times arithmetic"] = frame["seconds"] / frame["arithmetic"]
    return frame
