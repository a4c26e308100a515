"""The published numbers: what the paper, its released code and its replications report."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import pandas as pd

from anml.errors import AnmlError
from anml.store.tables import TRAINING

COLUMNS = (
    *("id", "source", "place", "treatment", "regime", "n_classes", "metric", "value", "unit"),
    "note",
)
SOURCES = (
    "paper",
    "higherANML replication",
    "nupic.research replication",
    "released code run by nupic.research",
)


@cache
def _published() -> pd.DataFrame:
    with files("anml.findings").joinpath("published.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file, dtype="str", keep_default_na=False)
    if tuple(frame.columns) != COLUMNS or not set(frame["source"]) <= set(SOURCES):
        raise AnmlError(
            "anml/findings/published.csv is not the file that the package came with; restore it "
            "with `git checkout anml/findings/published.csv`"
        )
    return frame


def published() -> pd.DataFrame:
    """Return every row of `published.csv` as text, with the columns `COLUMNS`.

    Values stay text because some are bounds (`<3`) and some numbers of classes are ranges (`>=50`).
    """
    return _published().copy()


def published_with_noted() -> pd.DataFrame:
    """Return `published` and, as rows of their own, the training accuracies that its notes give.

    Such a row follows those of the file, with `_training` behind the `id` of the row that it was
    noted in ("training accuracy 94") and an empty note.
    """
    frame = published()
    noted = frame["note"].str.extract(r"training accuracy (\d+(?:\.\d+)?)")[0]
    rows = frame.assign(metric=TRAINING, value=noted, note="", id=frame["id"] + "_training")
    return pd.concat([frame, rows.dropna(subset="value")], ignore_index=True)


def published_points(metric: str, regime: str = "sequential") -> pd.DataFrame:
    """Return the published numbers that are points of Figure 3: one value at one N.

    Columns: `id`, `source`, `treatment`, `n_classes` (int64), `value` (float64, fraction). Bounds
    and ranges are left out; noted training accuracies (`published_with_noted`) are points too.

    `metric` is 'meta-test training accuracy' or 'meta-test testing accuracy'.
    """
    frame = published_with_noted()
    frame = frame[frame["regime"] == regime]
    number = r"\d+(?:\.\d+)?"
    plain = frame["value"].str.fullmatch(number) & frame["n_classes"].str.fullmatch(r"\d+")
    frame = frame[plain & (frame["metric"] == metric) & (frame["unit"] == "percent")]
    return pd.DataFrame(
        {
            "id": frame["id"],
            "source": frame["source"],
            "treatment": frame["treatment"],
            "n_classes": frame["n_classes"].astype("int64"),
            "value": frame["value"].astype("float64") / 100,
        }
    ).reset_index(drop=True)
