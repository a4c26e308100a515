"""Recorded results that grow: the tables of another run of a profile, added to those that stand.

Runs on several machines, or run folders that are gone, leave nothing but what was recorded of them.
Rows are added, never replaced: of one observation that two runs made, neither is the right one.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from anml.errors import AnmlError
from anml.profiles import Profile
from anml.results import Provenance, Table, together
from anml.running.gather import UNFINISHED
from anml.running.groups import group_name
from anml.running.jobs import TrainJob
from anml.running.probe_jobs import PROBED
from anml.store.tables import KEYS, listing
from anml.treatments import OF_ANML

EXTENT = (
    *("models", "trajectories", "n_classes", "probed"),
    *("network_models", "network_trajectories", "network_n_classes"),
    *("epochs_models", "epochs_network_models", "epochs_trajectories", "epochs_n_classes"),
    *("epochs_network_n_classes", "variant_models", "length_models", "length_iterations"),
    *("length_n_classes", "head_models", "head_trajectories"),
)
"""Values of a profile that say how much is measured, and change no observation."""
SUMMED = {"stages": ["jobs", "seconds"]}
"""Columns of tables whose rows are totals: where both runs have a row, it becomes one."""
LOG = "meta_train_log.parquet"
"""The log of finished meta-trainings, beside that of those under way (`UNFINISHED`)."""
STAGES = "stages.parquet"
"""How long each group of jobs took, meta-trainings among them."""
TRAINING = ["treatment", "model_seed"]
"""Columns of logs that tell one meta-training from another."""
CURVE = ("iteration", "metric", "value")
"""Columns of logs that tell one point of a meta-training's curves from another."""


def combine(name: str, standing: Table, new: Table) -> Table:
    """The table `name` with the rows of both.

    AnmlError: the two rest on other drawings or other values of the profile, or have an observation
    in common.
    """
    provenance = _provenance(name, standing.provenance, new.provenance)
    if name == UNFINISHED:
        return _later_states(standing.frame, new.frame, provenance)
    rows = pd.concat([standing.frame, new.frame], ignore_index=True)
    own = [column for column in rows if column != "value"]
    keys = list(KEYS.get(name, own))
    if name in SUMMED:
        same = [column for column in rows if column not in SUMMED[name]]
        rows = rows.groupby(same, as_index=False, sort=False)[SUMMED[name]].sum()
    elif rows.duplicated(keys).any():
        raise AnmlError(
            f"{name}: {int(rows.duplicated(keys).sum())} of the run's {len(new.frame)} rows are "
            "recorded already: record the run without --add, which puts it in the place of what "
            "stands there, or compute other models, lengths or treatments"
        )
    return Table(rows, provenance)


def without_recorded(
    tables: Mapping[str, Table], standing: Mapping[str, Table]
) -> dict[str, Table]:
    """Tables of a run, by file, without the meta-trainings that the recorded ones (`standing`) log.

    A model may be measured in several runs, but it was trained once: neither its curve nor its time
    is to be recorded again, in whatever table of the run is added to a recorded one. A run that
    began with recorded models has their time and no curve. AnmlError: the run's curve is not the
    recorded one, so that its model is another.
    """
    if LOG not in standing:
        return dict(tables)
    recorded = standing[LOG].frame
    found = dict(tables)
    if LOG in tables:
        own = tables[LOG]
        again = _trainings(own.frame).isin(_trainings(recorded))
        _refuse_other_curves(own.frame[again], recorded)
        found[LOG] = replace(own, frame=own.frame[~again])
    if STAGES in tables:
        stages = tables[STAGES].frame
        trained = recorded[TRAINING].drop_duplicates().itertuples(index=False, name=None)
        done = stages["group"].isin([group_name(TrainJob(*which)) for which in trained])
        seconds = float(stages.loc[done, "seconds"].sum())
        found[STAGES] = replace(tables[STAGES], frame=stages[~done])
        # What is under way has a provenance of its own, with nothing finished in it.
        others = ({*standing, STAGES} & found.keys()) - {f"{UNFINISHED}.parquet"}
        found |= {name: _less(found[name], seconds) for name in others}
    if LOG in found and found[LOG].frame.empty:
        del found[LOG]
    return found


def _refuse_other_curves(own: pd.DataFrame, recorded: pd.DataFrame) -> None:
    """AnmlError if a curve is not the one that is recorded of the same meta-training."""
    keys = [*TRAINING, "iteration", "metric"]
    both = own.merge(recorded, on=keys, how="left", suffixes=("", "_recorded"))
    others = both[~both["value"].eq(both["value_recorded"])]
    if not others.empty:
        which = others.iloc[0]
        raise AnmlError(
            f"the run's {which.treatment} of seed {which.model_seed} is another model than the "
            "recorded one: its curve differs; record the run without --add, or elsewhere with --to"
        )


def _less(table: Table, seconds: float) -> Table:
    """The table with so much less time in its provenance; rounding leaves none below nothing."""
    left = max(0.0, table.provenance.seconds - seconds)
    return replace(table, provenance=replace(table.provenance, seconds=left))


def finish(unfinished: Table, log: Table) -> tuple[Table | None, Table]:
    """Take the meta-trainings that `log` (a `meta_train_log`) has out of those under way.

    Returns `unfinished` without them, None if nothing is left, and `log` with what of their curves
    was recorded before it begins.
    """
    begun, done = (_trainings(table.frame) for table in (unfinished, log))
    earlier = _earlier(unfinished.frame, log.frame)[list(log.frame)]
    if not earlier.empty:
        provenance = _provenance("meta_train_log", unfinished.provenance, log.provenance)
        provenance = replace(provenance, seconds=log.provenance.seconds)  # has the earlier one's
        log = Table(pd.concat([earlier, log.frame], ignore_index=True), provenance)
    left = unfinished.frame[~begun.isin(done)]
    return (None if left.empty else _with_time_spent(left, unfinished.provenance)), log


def _later_states(standing: pd.DataFrame, new: pd.DataFrame, provenance: Provenance) -> Table:
    """Of each meta-training under way the later state, whose time has the earlier one's in it."""
    furthest = standing.groupby(TRAINING)["done"].max()
    behind = new.merge(furthest, on=TRAINING, how="left", suffixes=("", "_standing"))
    new = new[~(behind["done"] < behind["done_standing"]).to_numpy()]
    begun, again = _trainings(standing), _trainings(new)
    earlier = _earlier(standing, new)
    rows = pd.concat([standing[~begun.isin(again)], earlier, new], ignore_index=True)
    return _with_time_spent(rows, provenance)


def _with_time_spent(rows: pd.DataFrame, provenance: Provenance) -> Table:
    """A table of what is under way, whose provenance has the time of its rows."""
    spent = float(rows.drop_duplicates(TRAINING)["seconds"].sum())
    return Table(rows, replace(provenance, seconds=spent))


def _trainings(frame: pd.DataFrame) -> pd.MultiIndex:
    """Which meta-training each row of a log is of."""
    return pd.MultiIndex.from_frame(frame[TRAINING])


def _earlier(standing: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The rows of recorded curves that end before the new curve of the same training begins.

    One that went on from a recorded model has no log of what was before. All other columns are
    those of the new curve.
    """
    found = []
    for which, own in new.groupby(TRAINING):
        first, *others = sorted(own["iteration"].unique())
        begins = first - (others[0] - first) if others else 0
        before = standing[_trainings(standing).isin([which]) & (standing["iteration"] <= begins)]
        told = {name: own[name].iloc[0] for name in own if name not in CURVE}
        found.append(before.assign(**told))
    return pd.concat(found) if found else standing.iloc[:0]


def _provenance(name: str, standing: Provenance, new: Provenance) -> Provenance:
    """Where the rows of both come from; AnmlError if they do not belong together."""
    for what, mine, other in (
        ("drawings", new.data_fingerprint, standing.data_fingerprint),
        ("profile", new.profile, standing.profile),
        ("version of anml", new.package_version, standing.package_version),
    ):
        if mine != other:
            raise AnmlError(
                f"{name}: the recorded table has {what} {other}, the run has {mine}: only runs "
                "with the same can be added to one another; record it elsewhere with --to"
            )
    return replace(
        new,
        profile_values=_values(name, standing.profile_values, new.profile_values),
        commit=together([standing.commit, new.commit]),
        device=together([standing.device, new.device]),
        seconds=standing.seconds + new.seconds,
    )


def _values(name: str, standing: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The profile's values of both runs together: the most of what is measured by either."""
    apart = _apart(standing, new)
    if apart:
        raise AnmlError(
            f"{name}: the recorded table and the run differ in {listing(apart)}, which decides "
            "their numbers: only runs with the same values can be added to one another; record "
            "it elsewhere with --to"
        )
    known = {"models": []} | dict(standing)  # runs of all of them did not always say so
    most = {key: _most(known.get(key, new[key]), new[key]) for key in EXTENT if key in new}
    gated = [training for training in most.get("probed", []) if training in OF_ANML]
    if len(gated) > 1:
        if name in PROBED:
            raise AnmlError(
                f"{name}: the recorded table and the run probed {listing(gated)}, whose rows it "
                "does not tell apart; record the run elsewhere with --to"
            )
        most["probed"] = new["probed"]  # a profile has one of them
    return dict(new) | most


def same_but_for_extent(one: Profile, other: Profile) -> bool:
    """Whether two profiles differ at most in how much is measured, not in what is found."""
    return not _apart(one.values(), other.values())


def _apart(standing: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The values in which two profiles differ, but for those that say how much is measured."""
    decisive = (key for key in new if key not in (*EXTENT, "summary"))
    return [key for key in decisive if standing.get(key, new[key]) != new[key]]


def _most(one: Any, other: Any) -> Any:
    """The larger number, or what either list has; no list's being empty means that it has all."""
    if not isinstance(one, list):
        return max(one, other)
    return sorted({*one, *other}) if one and other else []
