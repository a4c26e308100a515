"""The README's accuracies: what was measured, what the paper states, and why they differ."""

from __future__ import annotations

import pandas as pd
from cost_pages import ROOT, markdown

from anml.figures.plot_fig3 import (
    FIVE,
    SEQUENTIAL,
    fig3_published_sheet,
    fig3_values,
    fig3_with_kept,
    kept_beside_published,
)
from anml.findings.curves import published_marks, replicate_words
from anml.findings.found_tables import Found, recorded_sets
from anml.findings.kept_rows import kept_meta_tests
from anml.findings.ledger import MODELS, TABLES
from anml.findings.lengths_compared import compared_words, of_others, shared_rows
from anml.findings.lengths_found import (
    PAPERS,
    WIDTHS,
    Tables,
    in_sequence,
    length_values,
    recorded_widths,
    redraw_kept,
)
from anml.findings.lengths_said import furthest_words, pieces_either_way, stated
from anml.pages.scoreboard import counts_by_profile
from anml.profiles import PROFILES
from anml.results import Provenance, Table, read_table
from anml.stats import LEVEL, model_words
from anml.store.tables import TESTING, TRAINING

PAPER = "paper"
SHOWN = "laptop"
"""The recorded profile whose accuracies the README shows."""


def accuracies() -> str:
    """The README's table of the recorded run at its longest N."""
    table = read_recorded(SHOWN)
    if table is None:
        return "Not recorded yet."
    values = fig3_values(table)
    last = values[values["n_classes"] == values["n_classes"].max()]
    means = 100 * last.pivot(index="treatment", columns="metric", values="mean")
    lows, highs = (
        100 * last.pivot(index="treatment", columns="metric", values=c) for c in ("low", "high")
    )
    longest = int(values["n_classes"].max())
    stands = papers(longest, table.provenance)
    rows = []
    for name in dict.fromkeys(last["treatment"]):
        row = {"treatment": name}
        for metric in (TESTING, TRAINING):
            row[f"{metric}, %"] = (
                f"{means.loc[name, metric]:.1f} "
                f"({lows.loc[name, metric]:.1f} to {highs.loc[name, metric]:.1f})"
            )
            row[f"the paper's {metric.split()[1]}, %"] = stands.get((name, metric), "-")
        rows.append(row)
    return (
        f"After {longest} classes in a row ({replicate_words(values)}; mean, and {LEVEL:.0%} "
        f"bootstrap interval), and what the paper states, a dash where it gives no number:\n\n"
        f"{markdown(rows)}\n\n{table.provenance.line()}\n\n"
        f"{apart(table, longest)}{widths()}{verdicts()}"
    )


def papers(n: int, provenance: Provenance) -> dict[tuple[str, str], str]:
    """What the paper states at N = `n`, in per cent, by treatment and metric: '63.8', or '<3'.

    None beside results on other drawings than Omniglot.
    """
    marks = published_marks(FIVE, SEQUENTIAL, provenance, [PAPER])
    here = marks["n_classes"] == n
    onwards = (marks["kind"] == "onwards") & (marks["n_classes"] <= n)
    return {
        (row.treatment, row.metric): f"{100 * row.value:.1f}"
        if row.kind == "point"
        else f"<{100 * row.value:g}"
        for row in marks[here | onwards].itertuples()
    }


def apart(table: Table, n: int) -> str:
    """The README's sentences on why the shown accuracies are not the paper's.

    What full width gave at N = `n` is said as far as it is recorded.
    """
    own, full = table.provenance.profile_values, PROFILES[PAPER].values()
    narrow, wide = (" / ".join(str(values[name]) for name in WIDTHS) for values in (own, full))
    said = (
        f"Two reasons why they differ: `{SHOWN}` is narrow networks ({narrow} channels in place of "
        f"{wide}) and {own['meta_iterations']:,} of {full['meta_iterations']:,} meta-iterations. "
    )
    tables, goal = recorded_widths("lengths", ROOT), stated(SEQUENTIAL[0]).get(n)
    usual = full_width(tables, n)
    if not usual or goal is None:
        return f"{said}\n\n"
    kept = full_width(redraw_kept("lengths", tables, ROOT), n)
    beside = f" and, with the head's redrawn rows kept as in the released code, {kept}" * bool(kept)
    return (
        f"{said}At the paper's width ANML comes to {usual}{beside}; the paper has {goal:.1f}%.\n\n"
    )


def full_width(tables: Tables, n: int) -> str:
    """What ANML came to at the paper's width at N = `n`, and after how much; '' if not recorded.

    `tables`: of the kind `lengths`, by profile.
    """
    values = in_sequence(length_values(tables)) if tables else pd.DataFrame()
    if values.empty:
        return ""
    own = values[values["width"].str.endswith(PAPERS) & (values["n_classes"] == n)]
    if own.empty:
        return ""
    row = own.iloc[-1]
    return (
        f"{100 * row['mean']:.1f}% ({model_words(row.models)}, {row.iterations:,} meta-iterations)"
    )


def widths() -> str:
    """The README's sentence about ANML at each width that is recorded; '' if there is none."""
    tables = recorded_widths("lengths", ROOT)
    if not tables:
        return ""
    text = "ANML alone, as far as its meta-training has come at each width: "
    text += f"{furthest_words(length_values(tables))}.\n\n"
    compared = shared_rows(tables, of_others("lengths", tables, ROOT))
    if not compared.empty:
        text += (
            "Meta-test testing accuracy, one class after another, of ANML beside others that were "
            "trained equally long, on the same trajectories: "
            f"{compared_words(compared)}.\n\n"
        )
    kept = redraw_kept("lengths", tables, ROOT)
    if not kept:
        return text
    pieces = ", which also says whose meta-training did not run in one piece"
    return (
        f"{text}With the head's redrawn rows kept, as in the released code: "
        f"{furthest_words(length_values(kept))}. (These are not the same models everywhere: the "
        "same ones are compared on the page *How much meta-training?*"
        f"{pieces * bool(pieces_either_way(tables, kept, ROOT))}.)\n\n{beside_published()}"
    )


def beside_published() -> str:
    """The README's sentence on full-width models with kept rows beside the published ones.

    '' where none are recorded.
    """
    table = read_recorded(PAPER)
    kept = kept_meta_tests(Found(table, recorded=True), root=ROOT) if table is not None else {}
    if not kept:
        return ""
    drawn = fig3_with_kept(fig3_values(table), kept)
    words = kept_beside_published(fig3_published_sheet(drawn, table.provenance))
    return (
        "Over all N that were published and measured, the network of the paper's width with rows "
        "kept, less the published ones, in points of testing accuracy (the mean, and in brackets "
        f"the lowest and the highest): {words}.\n\n"
    )


def verdicts() -> str:
    """The README's sentences about the ledger at the profile that it shows, and at the paper's."""
    sets = recorded_sets(TABLES, "omniglot", ROOT)
    wanted = {name: sets[name] for name in (SHOWN, PAPER) if name in sets}
    found = counts_by_profile(wanted).set_index("verdict")
    words = {
        name: ", ".join(f"{count} {verdict}" for verdict, count in own.items())
        for name, own in found.items()
    }
    said = (
        f"Of the paper's own {found[SHOWN].sum()} numbers and claims the ledger finds, at "
        f"`{SHOWN}`: {words[SHOWN]}. Only `{PAPER}`, at the paper's widths and length of "
        f"meta-training, can reproduce one, and only with {MODELS} models or more."
    )
    if "meta_test" not in sets.get(PAPER, {}):
        return said
    values = fig3_values(sets[PAPER]["meta_test"])
    furthest = values.groupby("treatment", sort=False)["n_classes"].max()
    names = ", ".join(f"{name} up to {n} classes" for name, n in furthest.items())
    return (
        f"{said} Recorded of `{PAPER}` so far, of Figure 3: {names} ({replicate_words(values)}); "
        f"of these rows, {words[PAPER]}."
    )


def read_recorded(name: str) -> Table | None:
    """The recorded table of a profile, if there is one."""
    path = ROOT / "results" / name / "meta_test.parquet"
    return read_table(path) if path.is_file() else None
