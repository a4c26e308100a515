"""Figure 5: the latent before the gate, the gate, and the latent after it, unit by unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure

from anml.data import load
from anml.errors import AnmlError
from anml.figures.plot_probes import comparison, heading, kept_sheet, of_model, pair_tests
from anml.figures.plot_style import INK, MUTED, TREATMENTS, style
from anml.findings.measure import ACTIVITY, DEAD
from anml.probes import ACTIVE, probe_set, share_active
from anml.results import Provenance, Table
from anml.store.tables import listing

NAME = "fig5_activity"
METRICS = (*ACTIVITY, DEAD)
LAYERS = {"latent": "latent\nbefore the gate", "gate": "gate", "gated": "latent\nafter the gate"}
COLUMNS = {
    "drawing 0": "a drawing",
    "drawing 1": "another",
    "drawing 2": "a third",
    "mean": "mean of all drawings",
}
SHOWN = ("embedded", "any", "none")
"""Which drawings Figure 5 may show beside the activations."""
TESTS = (("gated", "latent"),)
"""The comparison that the paper tests: units active after and before the gate."""
INACTIVE = "#F2F2F2"
# From a tint that stands out from INACTIVE, through ANML's own colour, to nearly black: lightness
# alone tells the values, so that it reads without colour vision and in grey.
SHADES = ("#B5D8EE", TREATMENTS["ANML"].colour, "#00182B")
BRIGHTEST = 0.995
"""The scale of the latents ends at this quantile of what is shown; beyond it is the last shade."""


def rectangle(units: int) -> tuple[int, int]:
    """Return rows and columns, rows <= columns, of the squarest rectangle of exactly `units`."""
    rows = next(r for r in range(isqrt(units), 0, -1) if units % r == 0)
    return rows, units // rows


def fig5_values(table: Table, activity: Table, model_seed: int = 0) -> pd.DataFrame:
    """Return the share of active units under each picture, one row a picture.

    Columns: `drawing`, `layer`, `share` (fraction). Of a drawing: its own share. Of 'mean': the
    mean over the meta-test test set of every drawing's share, from the table `activity`; the mean
    picture has more units above the threshold than that, since each is active for some drawing.

    Raises:
        AnmlError: the tables hold no model of `model_seed`, or none of ANML.
    """
    units, rows = of_model(table, model_seed), of_model(activity, model_seed)
    held = sorted(set(rows["treatment"]))
    if "ANML" not in held:
        raise AnmlError(
            f"this page shows the units of ANML, and the table holds those of {listing(held)}: "
            "name results of a run with probed=anml,oml, or read that table by itself"
        )
    rows = rows[(rows["treatment"] == "ANML") & (rows["metric"] == "share active")]
    means = rows.set_index("layer")["value"]
    result = []
    for drawing in COLUMNS:
        for layer in LAYERS:
            own = units[(units["drawing"] == drawing) & (units["layer"] == layer)]["value"]
            share = means[layer] if drawing == "mean" else share_active(own.to_numpy())
            result.append({"drawing": drawing, "layer": layer, "share": float(share)})
    return pd.DataFrame(result)


def fig5_comparison(tables: Mapping[str, Table], seed: int = 0) -> pd.DataFrame:
    """Return the paper's shares of active and of dead units beside those of all models here."""
    return comparison(METRICS, tables, seed)


def fig5_drawings(provenance: Provenance, shown: str = "embedded") -> np.ndarray | None:
    """Return the three drawings that the figure is about, uint8 [3, 28, 28], or None.

    `shown`: which drawings may be seen: only 'embedded' ones, 'any' (Omniglot's too, which are not
    this project's to publish), or 'none'. They are never stored in a table, but read from the data
    set, which has to be at hand.

    Raises:
        AnmlError: `shown` is none of these; the data set is not there, or is not the one that the
            results rest on.
    """
    if shown not in SHOWN:
        raise AnmlError(f"parameter drawings={shown!r} is unknown; allowed: {listing(SHOWN)}")
    if shown == "none" or (shown == "embedded" and provenance.data_source != "glyphs"):
        return None
    drawings = load(provenance.data_source)
    if drawings.fingerprint != provenance.data_fingerprint:
        raise AnmlError(
            f"the drawings here (fingerprint {drawings.fingerprint}) are not those of the results "
            f"({provenance.data_fingerprint}); leave them out with drawings='none'"
        )
    return probe_set(drawings, provenance.profile_values["drawings_split"]).shown


def fig5_name(provenance: Provenance, drawings: np.ndarray | None) -> str:
    """Return the figure's file name, another one where it shows Omniglot's drawings."""
    omniglot = drawings is not None and provenance.data_source == "omniglot"
    return f"{NAME}_with_drawings" if omniglot else NAME


def fig5(
    table: Table,
    values: pd.DataFrame,
    model_seed: int = 0,
    drawings: np.ndarray | None = None,
) -> Figure:
    """Draw Figure 5: a row a layer, a column a drawing and one for the mean, a cell a unit.

    `values` as `fig5_values`; `drawings` uint8 [3, 28, 28] adds a row with the drawings themselves.
    """
    frame, provenance = of_model(table, model_seed), table.provenance
    images = {
        key: rows.sort_values("unit")["value"].to_numpy()
        for key, rows in frame.groupby(["layer", "drawing"])
    }
    share = values.set_index(["layer", "drawing"])["share"]
    form = rectangle(len(images["latent", "mean"]))
    latents = np.concatenate([image for (layer, _), image in images.items() if layer == "latent"])
    ends = {"latent": float(np.quantile(latents, BRIGHTEST)), "gate": 1.0}
    ends["gated"] = ends["latent"]
    shades = LinearSegmentedColormap.from_list("activation", SHADES).with_extremes(under=INACTIVE)
    rows = [*(["drawing"] if drawings is not None else []), *LAYERS]
    with style():
        figure = Figure(figsize=(8.6, 1.45 + 1.95 * len(rows)))
        grid = figure.subplots(len(rows), len(COLUMNS), squeeze=False)
        top = 1 - 1.4 / figure.get_figheight()
        figure.subplots_adjust(
            left=0.115, right=0.885, top=top, bottom=0.035, wspace=0.06, hspace=0.19
        )
        for axes, layer in zip(grid, rows, strict=True):
            for axis, drawing in zip(axes, COLUMNS, strict=True):
                _bare(axis)
                if layer == "drawing":
                    _drawing(axis, drawing, drawings)
                    continue
                axis.imshow(
                    images[layer, drawing].reshape(form),
                    cmap=shades,
                    norm=PowerNorm(0.5, ACTIVE, ends[layer]),
                    # 'none' keeps one pixel a unit in the file, whatever its size on the page.
                    interpolation="none",
                    aspect="auto",
                )
                average = "on average " if drawing == "mean" else ""
                axis.set_xlabel(
                    f"{average}{100 * share[layer, drawing]:.1f}% active", fontsize=9, labelpad=3
                )
            label = "drawing" if layer == "drawing" else LAYERS[layer]
            axes[0].set_ylabel(label, fontsize=10, color=INK, labelpad=8)
            if layer in ("gate", "gated"):
                _scale(figure, axes[-1], "gate" if layer == "gate" else "latent, both rows")
        for axes, title in zip(grid.T, COLUMNS.values(), strict=True):
            first = next(axis for axis in axes if axis.get_visible())
            first.set_title(title, fontsize=10, loc="center")
        heading(figure, provenance, _lines(provenance, form, model_seed))
    return figure


def _lines(provenance: Provenance, form: tuple[int, int], model_seed: int) -> tuple[str, ...]:
    """What the figure says of itself in words."""
    return (
        f"{form[0] * form[1]} units as {form[0]} × {form[1]} cells, a unit in the same place "
        f"everywhere; grey: not active ({ACTIVE:g} or less)",
        f"Profile {provenance.profile}, model {model_seed}; drawings of unseen classes, "
        "mean over the meta-test test set",
    )


def _bare(axis: Axes) -> None:
    """Take ticks and grid off a picture, and give it a thin frame."""
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set(visible=True, color="#BBBBBB", linewidth=0.6)


def _drawing(axis: Axes, column: str, drawings: np.ndarray) -> None:
    """Show the drawing of a column; nothing for the mean."""
    places = dict(zip(COLUMNS, drawings, strict=False))
    if column not in places:
        axis.set_visible(False)
        return
    axis.imshow(255 - places[column], cmap="gray", vmin=0, vmax=255, interpolation="none")


def _scale(figure: Figure, axis: Axes, label: str) -> None:
    """Put the scale of the pictures of a row at its right."""
    box = axis.get_position()
    beside = figure.add_axes((0.9, box.y0, 0.014, box.height))
    image = axis.images[0]
    high = image.norm.vmax
    bar = figure.colorbar(image, cax=beside, extend="neither" if label == "gate" else "max")
    ticks = [ACTIVE, *(round(high * share, 1) for share in (0.1, 0.4)), high]
    bar.set_ticks(ticks, labels=[f"{ACTIVE:g}", *(f"{tick:.1f}" for tick in ticks[1:])])
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)
    bar.set_label(label, fontsize=8, color=MUTED)


def fig5_sheet(values: pd.DataFrame) -> pd.DataFrame:
    """Return the printed shares for reading: per cent active, a row a layer, a column a drawing."""
    table = values.assign(share=(100 * values["share"]).map("{:.1f}".format))
    table = table.pivot(index="layer", columns="drawing", values="share")
    table = table.loc[list(LAYERS), list(COLUMNS)].rename(columns={"mean": "average of all"})
    table.index = [name.replace("\n", " ") for name in LAYERS.values()]
    return table.rename_axis(columns=None).rename_axis("% active").reset_index()


def fig5_kept_sheet(activity: Table, kept: Table) -> pd.DataFrame:
    """Return `anml.figures.plot_probes.kept_sheet` of ANML's activity."""
    counted = {layer: name for name, (layer, _) in ACTIVITY.items() if layer in LAYERS}
    words = {(layer, "share active"): name for layer, name in counted.items()}
    words["gated", "dead units"] = f"{DEAD} after the gate"
    tables = []
    for table in (activity, kept):
        frame = table.frame
        what = pd.Series(list(zip(frame["layer"], frame["metric"], strict=True)), frame.index)
        tables.append(replace(table, frame=frame.assign(what=what.map(words)).dropna()))
    return kept_sheet(*tables, "what", {name: name for name in words.values()}, "%")


def fig5_tests(activity: Table) -> pd.DataFrame:
    """Return the paper's comparison of activity after and before the gate, between models."""
    rows = activity.frame[activity.frame["metric"] == "share active"]
    words = {layer: f"ANML, {name.replace(chr(10), ' ')}" for layer, name in LAYERS.items()}
    return pair_tests(rows, "layer", TESTS, words)
