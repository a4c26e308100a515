"""The tables of the page on speed, for reading: what `plot_speed` read, in rows and columns."""

from __future__ import annotations

import pandas as pd

from anml.figures.plot_speed import OURS, TRAININGS, WAYS, Speed, floor


def speed_table(values: pd.DataFrame) -> pd.DataFrame:
    """`speed_values` for reading."""
    there = values["seconds"].notna()
    columns = {
        "way": values["way"].map(WAYS).str.replace("\n", " "),
        "seconds": values["seconds"].map("{:.3g}".format),
        "fastest to slowest": _ranges(values),
        "times ours": values["ratio"].map("{:.1f}".format),
        "arithmetic, s": values["floor"].map("{:.2g}".format),
        "peak MB": values["peak_mb"].map("{:.0f}".format),
    }
    frame = pd.DataFrame(columns)
    frame.loc[~there, frame.columns[1:]] = ""
    frame.loc[~there, "seconds"] = values.loc[~there, "note"]
    return frame


def floor_table(speed: Speed) -> pd.DataFrame:
    """Our meta-iterations at every profile's width beside what the arithmetic alone would take."""
    own = speed.costs[speed.costs["way"] == OURS]
    least = floor(own)
    return pd.DataFrame(
        {
            "profile": own["profile"],
            "meta-training": own["training"].map(TRAININGS),
            "GFLOP": (2 * own["multiply_adds"] / 1e9).map("{:.3g}".format),
            "arithmetic, s": least.map("{:.2g}".format),
            "measured, s": own["seconds"].map("{:.2g}".format),
            "share of the time": (100 * least / own["seconds"]).map("{:.0f}%".format),
            "in convolutions and products": (100 * own["products"]).map("{:.0f}%".format),
            "peak MB": own["peak_mb"].map("{:.0f}".format),
        }
    ).sort_values("profile", key=lambda names: names.map(_order(own["profile"])), kind="stable")


def meta_test_table(speed: Speed, profile: str) -> pd.DataFrame:
    """The longest trajectory where linear layers alone learn, on all threads: ours and torch's."""
    own = speed.meta_test[speed.meta_test["profile"] == profile]
    own = own[own["device"] == own["device"].iloc[-1]]
    keys = ["treatment", "optimizer"]
    steps = own.pivot(index=keys, columns="way", values="step_ms")
    seconds = own.pivot(index=keys, columns="way", values="trajectory_seconds")
    others = [way for way in steps.columns if way != "ours"]
    frame = pd.DataFrame({"ours, ms a step": steps["ours"].map("{:.3g}".format)})
    for way in others:
        frame[f"{way}, ms a step"] = steps[way].map("{:.3g}".format)
    frame["ours, s a trajectory"] = seconds["ours"].map("{:.2g}".format)
    return frame.reset_index()


def network_table(speed: Speed, profile: str) -> pd.DataFrame:
    """A step where convolutions learn, on one thread: ours and torch's, and how they compare."""
    own = speed.network[speed.network["profile"] == profile]
    steps = own.pivot(index="treatment", columns="way", values="step_ms")
    steps = steps.loc[list(_order(own["treatment"])), list(_order(own["way"]))]
    frame = steps.map("{:.3g}".format).add_suffix(", ms a step")
    for way in steps.columns[1:]:
        frame[f"times faster than {way}"] = (steps[way] / steps["ours"]).map("{:.2f}".format)
    seconds = own[own["way"] == "ours"].set_index("treatment")["trajectory_seconds"]
    frame["ours, s a trajectory"] = seconds.map("{:.0f}".format)
    return frame.rename_axis(columns=None).reset_index()


def network_line(speed: Speed) -> str:
    """Where and when those steps were measured."""
    first = speed.network.iloc[0]
    return f"{_made(first)}, {first['processor']}"


def beside_table(speed: Speed, profile: str) -> pd.DataFrame:
    """Seconds of ANML's meta-iteration by setting: alone, and beside a process that never rests."""
    own = speed.beside[speed.beside["profile"] == profile]
    seconds = own.pivot(index="setting", columns="beside", values="seconds")
    seconds = seconds.loc[list(_order(own["setting"])), list(_order(own["beside"]))]
    alone, busy = seconds.columns
    return pd.DataFrame(
        {
            "setting": seconds.index,
            f"s beside {alone}": seconds[alone].map("{:.2f}".format).to_numpy(),
            f"s beside {busy}": seconds[busy].map("{:.2f}".format).to_numpy(),
            "times as long": (seconds[busy] / seconds[alone]).map("{:.2f}".format).to_numpy(),
        }
    )


def beside_line(speed: Speed) -> str:
    """Where and when the settings were measured."""
    return _made(speed.beside.iloc[0])


def memory_table(speed: Speed, profile: str) -> pd.DataFrame:
    """ANML's meta-iteration by how the process asks for memory; the last row is ours."""
    own = speed.memory[speed.memory["profile"] == profile]
    return pd.DataFrame(
        {
            "memory": own["setting"],
            "seconds": own["seconds"].map("{:.3g}".format),
            "fastest to slowest": _ranges(own),
            "times ours": (own["seconds"] / own["seconds"].iloc[-1]).map("{:.2f}".format),
            "pages supplied in an iteration": own["page_faults"].map("{:,.0f}".format),
        }
    )


def memory_line(speed: Speed) -> str:
    """Where and when memory was measured, and what Linux says of huge pages there."""
    first = speed.memory.iloc[0]
    return f"{_made(first)}, {first['processor']}, huge pages: {first['huge_pages']}"


def speed_lines(speed: Speed) -> list[str]:
    """Where, when and with what the numbers were measured."""
    machine = speed.machine
    libraries = ("torch", "higher", "learn2learn", "torchopt")
    versions = ", ".join(f"{name} {machine[name]}" for name in libraries)
    return [
        f"Measured on {machine['date']} at commit {machine['commit']}: {machine['device']}, "
        f"{machine['processor']}",
        f"load before the run: {machine['load at the start']}; Python {machine['python']}, "
        f"{versions}",
        f"matrix product of side {machine['matrix side']} in float32, beside each row: "
        f"{speed.costs['gflops'].min():.0f} to {speed.costs['gflops'].max():.0f} GFLOP/s",
    ]


def _ranges(rows: pd.DataFrame) -> list[str]:
    """The fastest and the slowest iteration of each row, for reading."""
    ends = rows[["fastest", "slowest"]].itertuples(index=False)
    return [f"{fastest:.3g} to {slowest:.3g}" for fastest, slowest in ends]


def _made(row: pd.Series) -> str:
    """When, at which commit and on which device a row was measured."""
    return f"Measured on {row['date']} at commit {row['commit']}: {row['device']}"


def _order(names: pd.Series) -> dict[str, int]:
    """The place of each name's first appearance."""
    return {name: place for place, name in enumerate(dict.fromkeys(names))}
