"""What each result table must hold: one row of this file a column, and the check of a frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api import types

from anml.errors import AnmlError


@dataclass(frozen=True)
class Column:
    """What a column holds: `kind` is 'text', 'integer' or 'number'; bounds are inclusive."""

    kind: str
    allowed: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    finite: bool = True


TEXT = Column("text")
COUNT = Column("integer", low=0)
DATA = Column("text", allowed=("omniglot", "glyphs"))
OPTIMIZER = Column("text", allowed=("adam", "sgd"))
RATE = Column("number", low=0)
FRACTION = Column("number", low=0, high=1)

TRAINING = "meta-test training accuracy"
TESTING = "meta-test testing accuracy"
LOG_METRICS = (
    "meta-train testing loss",
    "meta-train testing accuracy, class just learned",
    "meta-train testing accuracy, remember set",
)
"""What the log keeps of every meta-iteration; for pretraining the second is the whole batch."""
OF_LEARNED, OF_TO_COME = "of classes learned", "of classes to come"
OWN, LEARNED, TO_COME, BELOW = (
    *("output, own row", "output, rows learned", "output, rows to come"),
    "share of the rows learned that are below the own one",
)
"""What is known of the head half-way, and on which drawings: the own row is their class's."""
LAST_SHARE = 0.1
"""Of the iterations: what the end of a log is averaged over."""

REGIME = Column("text", allowed=("sequential", "oracle", "oracle 20 epochs"))
CLASSES = Column("integer", low=1)
LENGTH = Column("integer", low=1)  # meta-iterations
NUMBER = Column("number")

# A table is known by its file name. Any other name needs only the first two columns, and any table
# may have further ones.
COMMON: dict[str, Column] = {"profile": TEXT, "data": DATA}
META_TEST: dict[str, Column] = COMMON | {
    "treatment": TEXT,
    "regime": REGIME,
    "optimizer": OPTIMIZER,
    "learning_rate": RATE,
    "model_seed": COUNT,
    "trajectory_seed": COUNT,
    "n_classes": CLASSES,
    "metric": Column("text", allowed=(TRAINING, TESTING)),
    "value": FRACTION,
}
LEARNING_RATES: dict[str, Column] = COMMON | {
    "treatment": TEXT,
    "regime": REGIME,
    "optimizer": OPTIMIZER,
    "learning_rate": RATE,
    "n_classes": CLASSES,
    "value": FRACTION,
}
ACTIVITY: dict[str, Column] = COMMON | {
    "treatment": TEXT,
    "model_seed": COUNT,
    "layer": Column("text", allowed=("latent", "gate", "gated", "oml")),
    "metric": Column("text", allowed=("share active", "dead units")),
    "value": FRACTION,
}
KNN: dict[str, Column] = COMMON | {
    "model_seed": COUNT,
    "representation": Column("text", allowed=("latent", "gated", "nm", "nm random", "oml")),
    "k": Column("integer", low=1, high=20),
    "value": FRACTION,
}
HEAD_RUN: dict[str, Column] = COMMON | {
    "treatment": TEXT,
    "rule": TEXT,  # a way to learn the head: of `anml.meta_testing.head_rules`
    "optimizer": OPTIMIZER,
    "learning_rate": RATE,
    "model_seed": COUNT,
    "trajectory_seed": COUNT,
    "n_classes": CLASSES,
}
META_TRAIN_LOG: dict[str, Column] = COMMON | {
    "treatment": TEXT,
    "model_seed": COUNT,
    "iteration": COUNT,
    "metric": TEXT,
    # A loss that became NaN is worth logging: it says why a run stopped.
    "value": Column("number", finite=False),
}
TABLES: dict[str, dict[str, Column]] = {
    # Accuracy after the last class.
    "meta_test": META_TEST,
    # The search of the meta-test learning rate, on trajectories of its own.
    "learning_rates": LEARNING_RATES,
    # Accuracy on the held-out drawings of each class, by the order in which classes were learned.
    "class_accuracy": COMMON
    | {
        "treatment": TEXT,
        "model_seed": COUNT,
        "trajectory_seed": COUNT,
        "n_classes": CLASSES,
        "position": COUNT,
        "metric": Column("text", allowed=(TESTING,)),
        "value": FRACTION,
    },
    # Meta-tests of what the paper and its code disagree on.
    "disagreements": META_TEST | {"question": TEXT, "answer": TEXT},
    # The search of the rates that were published nowhere; where meta-training diverged, the value
    # and the rate at meta-test are 0.
    "training_rates": COMMON
    | {
        "training": Column("text", allowed=("oml", "pretrain")),
        "inner_rate": RATE,
        "outer_rate": RATE,
        "iterations": Column("integer", low=1),
        "n_classes": CLASSES,
        "learning_rate": RATE,
        "value": FRACTION,
        "chosen": Column("integer", low=0, high=1),
    },
    # What the representations are like.
    "units": COMMON
    | {
        "model_seed": COUNT,
        "drawing": Column("text", allowed=("drawing 0", "drawing 1", "drawing 2", "mean")),
        "layer": Column("text", allowed=("latent", "gate", "gated")),
        "unit": COUNT,
        "value": NUMBER,
    },
    "activity": ACTIVITY,
    "knn": KNN,
    # The same by other distances than the paper's.
    "knn_distances": KNN | {"distance": Column("text", allowed=("cosine", "active units"))},
    "tsne": COMMON
    | {
        "model_seed": COUNT,
        "representation": Column("text", allowed=("latent", "gated", "oml")),
        "class": Column("integer", low=0, high=9),
        "drawing": COUNT,
        "x": NUMBER,
        "y": NUMBER,
    },
    # How long each group of jobs (`anml.running.groups`) took on a device, in seconds of a process.
    "stages": COMMON
    | {
        "stage": TEXT,
        "group": TEXT,
        "device": TEXT,
        "jobs": Column("integer", low=1),
        "seconds": Column("number", low=0),
    },
    "meta_train_log": META_TRAIN_LOG,
    # The same model after few and many meta-iterations: its accuracy, what the search of its
    # learning rate found, and how many of its units are active.
    "lengths": META_TEST | {"iterations": LENGTH},
    "length_rates": LEARNING_RATES | {"model_seed": COUNT, "iterations": LENGTH},
    "length_activity": ACTIVITY | {"iterations": LENGTH},
    # Accuracy after the most classes, by when they were learned, with the head treated otherwise:
    # `part` counts tenths of the classes.
    "head_rules": HEAD_RUN
    | {
        "part": Column("integer", low=1, high=10),
        "metric": Column("text", allowed=(TRAINING, TESTING)),
        "value": FRACTION,
    },
    # What the head's rows answer half-way: `learned` classes of a trajectory have been, the others
    # are to come.
    "head_outputs": HEAD_RUN
    | {
        "learned": CLASSES,
        "drawings": Column("text", allowed=(OF_LEARNED, OF_TO_COME)),
        "metric": Column("text", allowed=(OWN, LEARNED, TO_COME, BELOW)),
        "value": NUMBER,
    },
    # The log of meta-trainings that are begun and not finished, in a table of its own because it is
    # no result: how far each is, in iterations, and what made it in how many seconds.
    "unfinished_log": META_TRAIN_LOG
    | {
        "done": Column("integer", low=1),
        "asked": Column("integer", low=1),
        "seconds": Column("number", low=0),
        "device": TEXT,
    },
}
# What makes an observation one of a kind: the same replicate twice would narrow every interval.
REPLICATE = (
    *("profile", "data", "treatment", "regime", "optimizer", "model_seed"),
    *("trajectory_seed", "n_classes", "metric"),
)
KEYS: dict[str, tuple[str, ...]] = {
    "meta_test": REPLICATE,
    "disagreements": (*REPLICATE, "question", "answer"),
    "lengths": (*REPLICATE, "iterations"),
    "length_activity": ("profile", "data", "model_seed", "iterations", "layer", "metric"),
    "class_accuracy": (
        *("profile", "data", "treatment", "model_seed", "trajectory_seed"),
        *("n_classes", "position", "metric"),
    ),
    "head_rules": (
        *("profile", "data", "treatment", "rule", "learning_rate", "model_seed"),
        *("trajectory_seed", "n_classes", "part", "metric"),
    ),
    "head_outputs": (
        *("profile", "data", "treatment", "rule", "learning_rate", "model_seed"),
        *("trajectory_seed", "n_classes", "drawings", "metric"),
    ),
    "training_rates": (
        *("profile", "data", "training", "inner_rate", "outer_rate", "iterations"),
        *("n_classes", "treatment", "learning_rate"),
    ),
    "stages": ("profile", "data", "group", "device"),
    "units": ("profile", "data", "model_seed", "drawing", "layer", "unit"),
    "activity": ("profile", "data", "treatment", "model_seed", "layer", "metric"),
    "knn": ("profile", "data", "model_seed", "representation", "k"),
    "knn_distances": ("profile", "data", "model_seed", "representation", "k", "distance"),
    "tsne": ("profile", "data", "model_seed", "representation", "class", "drawing"),
}


def listing(values: Iterable[str]) -> str:
    """Return values for an error message: `'a', 'b'`."""
    return ", ".join(repr(str(value)) for value in values)


def checked(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` in its canonical form: known columns first, fixed types, rows sorted.

    Raises:
        AnmlError: no rows; a column missing, of another type, empty in places or out of range; an
            observation twice.
    """
    columns = TABLES.get(name, COMMON)
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise AnmlError(
            f"{name}: missing column{'s' if len(missing) > 1 else ''} {listing(missing)}; "
            f"a {name} table holds {listing(columns)}"
        )
    if frame.empty:
        raise AnmlError(f"{name}: the table has no rows; run the step that fills it again")
    typed = {column: _typed(name, frame[column], rule) for column, rule in columns.items()}
    extras = {column: frame[column] for column in sorted(set(frame.columns) - set(columns))}
    result = pd.DataFrame(typed | extras)
    keys = [column for column in KEYS.get(name, ()) if column in result]
    if keys and result.duplicated(keys).any():
        raise AnmlError(
            f"{name}: {int(result.duplicated(keys).sum())} observation(s) are there twice; rows "
            f"must differ in at least one of {listing(keys)}"
        )
    return result.sort_values(list(result.columns), kind="stable", ignore_index=True)


def _typed(name: str, values: pd.Series, rule: Column) -> pd.Series:
    """Return one column with its fixed type, or refuse it."""
    where = f"{name}: column {values.name!r}"
    if rule.kind == "text":
        held = values.astype(object)  # an Arrow column is slow to go through
        if not all(isinstance(value, str) and value for value in held):
            raise AnmlError(f"{where} must hold text in every row")
        others = sorted(set(held) - set(rule.allowed)) if rule.allowed else []
        if others:
            raise AnmlError(f"{where} holds {listing(others)}; allowed: {listing(rule.allowed)}")
        return values.astype("str")
    if rule.kind == "integer":
        if not types.is_integer_dtype(values.dtype) or values.isna().any():
            raise AnmlError(f"{where} must hold whole numbers (int64), not {values.dtype}")
        result = values.astype("int64")
    else:
        if not types.is_numeric_dtype(values.dtype) or types.is_bool_dtype(values.dtype):
            raise AnmlError(f"{where} must hold numbers (float64), not {values.dtype}")
        result = values.astype("float64")
        if rule.finite and not np.isfinite(result).all():
            raise AnmlError(f"{where} must hold finite numbers")
    if rule.low is not None and (result < rule.low).any():
        raise AnmlError(f"{where} must be {rule.low} or more, not {result.min()}")
    if rule.high is not None and (result > rule.high).any():
        raise AnmlError(f"{where} must be between {rule.low} and {rule.high}, not {result.max()}")
    return result
