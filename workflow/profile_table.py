"""Write what profiles cost and give into the book and the README, from recorded measurements.

    python workflow/profile_table.py

Makes book/generated/profiles.md and costs/, and the parts of README.md between
`<!-- measured:NAME -->` and `<!-- /measured -->`. Sources: results/reference/cost.csv
(`benchmarks/cost.py`), results/reference/wall_times.csv (whole commands, timed on a fresh clone),
and the tables under results/. Where a profile is not recorded, the tables say so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import cost_pages
import pandas as pd
from cost_pages import ROOT, markdown
from readme_accuracies import PAPER, accuracies

from anml.figures.plot_fig3 import FIVE
from anml.findings.found_tables import recorded_tables
from anml.pages.recorded import MEANING, accuracy_rows, spread_sheet
from anml.profiles import PROFILES, Profile
from anml.results import duration
from anml.store.files import replacing

PAGE = ROOT / "book" / "generated" / "profiles.md"
README = ROOT / "README.md"
REFERENCE = ROOT / "results" / "reference"
TRAININGS = ("anml", "oml", "pretrain")
STAGES = ("meta-train", "rates", "meta-test", "paper-versus-code", "probe", "lengths", "head")


def read_costs() -> pd.DataFrame:
    """The measurements of benchmarks/cost.py."""
    return pd.read_csv(REFERENCE / "cost.csv")


def case(costs: pd.DataFrame, profile: str, training: str, way: str = "adjoint") -> pd.Series:
    """One row of the measurements."""
    own = costs[(costs["profile"] == profile) & (costs["training"] == training)]
    return own[own["way"] == way].iloc[0]


def one_model(profile: Profile, training: str, costs: pd.DataFrame) -> float:
    """Estimated seconds of meta-training one model: seconds an iteration times iterations."""
    supervised = training == "pretrain"
    iterations = profile.pretrain_iterations if supervised else profile.meta_iterations
    return case(costs, profile.name, training).seconds * iterations


def sizes_row(profile: Profile) -> dict[str, str]:
    """What the profile runs."""
    return {
        "profile": f"**{profile.name}**",
        "ANML's channels (PLN / NM)": f"{profile.pln_channels} / {profile.nm_channels}",
        "OML's channels / hidden": f"{profile.oml_channels} / {profile.oml_hidden}",
        "meta-iterations": f"{profile.meta_iterations:,}",
        "models × trajectories": f"{profile.model_seeds} × {profile.trajectories}",
        "longest N": str(max(profile.n_classes)),
    }


def cost_row(profile: Profile, costs: pd.DataFrame) -> dict[str, str]:
    """Measured seconds and memory of a meta-iteration, estimated time of one model."""
    row = {"profile": f"**{profile.name}**"}
    for training in TRAININGS:
        seconds = case(costs, profile.name, training).seconds
        row[training] = f"{seconds:.2g} s; {duration(one_model(profile, training, costs))}"
    peak = costs[(costs["profile"] == profile.name) & (costs["way"] == "adjoint")]["peak_mb"].max()
    return row | {"memory": f"{peak / 1000:.1f} GB"}


def stages_row(name: str, by_group: pd.Series) -> dict[str, str]:
    """How long each kind of work takes: seconds of one process, of groups of jobs, summed.

    Groups that the profile's plan doesn't have, such as a second model's, stand apart.
    """
    planned = by_group.index.isin(cost_pages.planned(name).index)
    own, further = by_group[planned], by_group[~planned]
    spent = own.groupby(own.index.str.partition(".").get_level_values(0)).sum()
    hours = {stage: duration(spent[stage]) for stage in STAGES if stage in spent}
    beside = {"beyond its plan": duration(further.sum())} if len(further) else {}
    return hours | {"all": duration(own.sum())} | beside


def costs_part(costs: pd.DataFrame) -> str:
    """What meta-training costs at each profile: a sentence and a table."""
    table = markdown([cost_row(profile, costs) for profile in PROFILES.values()])
    return (
        "What meta-training costs: one iteration, and one model, estimated as the median of a few "
        f"iterations times their number ({costs['device'].iloc[0]}):\n\n{table}"
    )


def page() -> str:
    """The book's tables of what profiles run, cost and gave."""
    costs = read_costs()
    profiles = PROFILES.values()
    spent = {
        (name, device): own.set_index("group")["seconds"]
        for name, table in recorded_tables("stages", ROOT).items()
        for device, own in table.frame.groupby("device")
    }
    parts = (
        "What each profile runs:",
        markdown([sizes_row(profile) for profile in profiles]),
        costs_part(costs),
        "Where the time of the recorded runs went, summed over processes; *all* leaves out what is "
        "beyond a profile's plan, such as a second model's lengths:",
        markdown(
            [
                {
                    "profile": f"**{name}**",
                    "how far": "whole" if cost_pages.is_whole(name) else "in part",
                    "on": device,
                }
                | stages_row(name, own)
                for (name, device), own in spent.items()
            ]
        ),
        "What all of `paper` would take, one thread of a CPU: as measured where a group of jobs is "
        "recorded whole, else estimated from a few steps of it (`anml plan --profile paper`); "
        "nothing has been timed on a GPU yet:",
        markdown([stages_row(PAPER, cost_pages.seconds_by_group()[PAPER])]),
        "`anml run --profile paper --data omniglot.npz` does it, and goes on where it stopped; for "
        "a GPU or a cluster see below.",
        f"What recorded runs gave: meta-test testing accuracy at the longest N. {MEANING}",
        markdown(spread_sheet(recorded_tables("meta_test", ROOT), accuracy_rows(FIVE))),
    )
    return "\n\n".join(parts) + "\n"


def wall_times() -> str:
    """The README's sentence about whole commands."""
    times = pd.read_csv(REFERENCE / "wall_times.csv")
    rows = [{"command": row.what, "wall time": duration(row.seconds)} for row in times.itertuples()]
    return f"{markdown(rows)}\n\nMeasured on {times['device'].iloc[0]}."


def known_duration(seconds: float) -> str:
    """A time span in words; NaN is one that nobody measured."""
    return "not measured" if math.isnan(seconds) else duration(seconds)


def profile_times() -> str:
    """The README's table of profiles, and the cost of one step at full width."""
    costs = read_costs()
    words = {
        "smoke": ("seeing that everything works; the default", "tiny"),
        "quick": ("a first real result", "narrow"),
        "laptop": ("several seeds; every N where linear layers learn", "narrow"),
        "paper": ("the paper's own numbers", "full width; wants a GPU"),
    }
    rows, spent = [], cost_pages.seconds_by_group()
    for name in PROFILES:
        use, networks = words[name]
        seconds, shared = spent[name].sum(skipna=False), cost_pages.elapsed(name, spent[name])
        rows.append(
            {
                "profile": f"`{name}`",
                "for": use,
                "networks": networks,
                "every result, one process": known_duration(seconds),
                f"{cost_pages.PROCESSES} processes": known_duration(shared),
            }
        )
    ours = case(costs, "paper", "anml")
    others = {
        "plain autograd": case(costs, "paper", "anml", "autograd"),
        "`higher`": case(costs, "paper", "anml", "higher"),
    }
    compared = ", ".join(
        f"{name} {other.seconds:.1f} s ({other.seconds / ours.seconds:.1f} times as long)"
        for name, other in others.items()
    )
    return (
        f"{markdown(rows)}\n\n"
        f"Times are of a CPU with a thread a process, {cost_pages.how_known()}. "
        "Each page of the book says what it alone needs.\n\n"
        "One exact second-order meta-gradient of ANML at full width takes "
        f"{ours.seconds:.2f} s and {ours.peak_mb / 1000:.1f} GB; the same one through {compared}. "
        f"({ours.device}, medians, one process after another: `python benchmarks/cost.py`.)"
    )


def filled(readme: str, parts: Mapping[str, str]) -> str:
    """`readme` with the text between its markers replaced."""
    for name, text in parts.items():
        pattern = rf"(<!-- measured:{name} -->\n).*?(<!-- /measured -->)"
        readme, count = re.subn(pattern, rf"\g<1>{text}\n\2", readme, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"README.md must hold the marker measured:{name} once")
    return readme


def readme() -> str:
    """The README with its measured parts as recorded."""
    parts = {
        "wall-times": wall_times(),
        "accuracy": accuracies(),
        "profiles": profile_times(),
    }
    return filled(README.read_text(), parts)


def main() -> None:
    """Write the files."""
    cost_pages.FOLDER.mkdir(parents=True, exist_ok=True)
    texts = {PAGE: page(), README: readme(), **cost_pages.pages()}
    for path, text in texts.items():
        with replacing(path) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    main()
