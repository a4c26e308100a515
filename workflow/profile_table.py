"""Write book/generated/profiles.md: what each profile costs and gives, from recorded measurements.

    python workflow/profile_table.py

Time and memory come from results/reference/cost.csv (`benchmarks/cost.py`), accuracies and compute
time from the tables under results/. Where a profile is not recorded, the table says so.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from anml.files import replacing
from anml.profiles import PROFILES, Profile
from anml.results import SOURCE_LABELS, Table, duration, read_table
from anml.tables import TESTING

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "book" / "generated" / "profiles.md"
TRAININGS = ("anml", "oml", "pretrain")


def read_costs() -> pd.DataFrame:
    """The measurements of benchmarks/cost.py."""
    return pd.read_csv(ROOT / "results" / "reference" / "cost.csv")


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
    """Estimated time and measured memory of meta-training one model of each kind."""
    row = {"profile": f"**{profile.name}**"}
    iterations = {
        "anml": profile.meta_iterations,
        "oml": profile.meta_iterations,
        "pretrain": profile.pretrain_iterations,
    }
    own = costs[(costs["profile"] == profile.name) & (costs["way"] == "adjoint")]
    for training in TRAININGS:
        case = own[own["training"] == training].iloc[0]
        row[f"{training}: s an iteration"] = f"{case.seconds:.2g}"
        row[f"{training}: one model"] = duration(case.seconds * iterations[training])
    row["peak memory"] = f"{own['peak_mb'].max() / 1000:.1f} GB"
    return row


def expected_row(profile: Profile, table: Table | None) -> dict[str, str]:
    """What a recorded run of the profile gave, at its longest N."""
    row = {"profile": f"**{profile.name}**"}
    if table is None:
        return row | {"recorded on": "not recorded yet"}
    frame = table.frame[table.frame["metric"] == TESTING]
    longest = frame["n_classes"].max()
    means = frame[frame["n_classes"] == longest].groupby("treatment")["value"].mean()
    row["recorded on"] = SOURCE_LABELS[table.provenance.data_source]
    row["compute, one thread each"] = duration(table.provenance.seconds)
    row["N"] = str(longest)
    return row | {name: f"{100 * value:.1f}%" for name, value in means.items()}


def markdown(rows: list[dict[str, str]]) -> str:
    """A Markdown table."""
    return pd.DataFrame(rows).fillna("").to_markdown(index=False, disable_numparse=True)


def page() -> str:
    """The page's three tables."""
    costs = read_costs()
    recorded = {}
    for name in PROFILES:
        path = ROOT / "results" / name / "meta_test.parquet"
        recorded[name] = read_table(path) if path.is_file() else None
    profiles = PROFILES.values()
    return "\n\n".join(
        (
            "What each profile runs:",
            markdown([sizes_row(profile) for profile in profiles]),
            f"What meta-training costs ({costs['device'].iloc[0]}; median of a few iterations, "
            "times the profile's number of them):",
            markdown([cost_row(profile, costs) for profile in profiles]),
            "What recorded runs gave: meta-test testing accuracy at the longest N, mean over "
            "models and trajectories. A rerun with the same seeds on another machine differs by "
            "rounding that training amplifies: expect it within the intervals of Figure 3.",
            markdown([expected_row(profile, recorded[profile.name]) for profile in profiles]),
        )
    )


def main() -> None:
    """Write the page."""
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with replacing(OUT) as temporary:
        temporary.write_text(page() + "\n")


if __name__ == "__main__":
    main()
