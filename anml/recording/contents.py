"""What is recorded, for reading: tables and models, each from what it says of itself."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from anml.recording.under_way import how_far
from anml.results import duration, read_table, together
from anml.running.gather import UNFINISHED, table_paths
from anml.running.length_names import recorded_models
from anml.store.checkpoint import load_checkpoint


def recorded_tables(folders: Sequence[Path]) -> pd.DataFrame:
    """A row a table, from its provenance."""
    rows = []
    for path in (path for folder in folders for path in table_paths(folder)):
        table = read_table(path)
        source = table.provenance
        counts = {
            word: table.frame[column].nunique() if column in table.frame else ""
            for word, column in (("models", "model_seed"), ("trajectories", "trajectory_seed"))
        }
        rows.append(
            {"folder": path.parent.name, "table": path.stem, "data": source.data_source}
            | {"rows": len(table.frame)}
            | counts
            | {"how far": how_far(table.frame) if path.stem == UNFINISHED else ""}
            | {"device": source.device, "commit": _commit(source.commit)}
            | {"compute": duration(source.seconds), "date": source.date[:10]}
        )
    return pd.DataFrame(rows)


def models_beside(folders: Sequence[Path]) -> pd.DataFrame:
    """A row a meta-training and length, from the headers of its finished models."""
    rows = []
    for folder in folders:
        for path in recorded_models(folder):
            tensors, header = load_checkpoint(path)
            tensors.pop("log", None)  # beside a run's own models
            rows.append(
                {"folder": folder.name, "meta-training": header["training"]}
                | {"meta-iterations": header["iteration"], "data": header["data_source"]}
                | {"precision": together(str(t.dtype).split(".")[1] for t in tensors.values())}
                | {"device": header["made_on"], "commit": header["commit"]}
                | {"seeds": header["seed"], "seconds": header["seconds"]}
                | {"MB": path.stat().st_size / 1e6}
            )
    if not rows:
        return pd.DataFrame()
    found = pd.DataFrame(rows)
    kind = ["folder", "meta-training", "meta-iterations", "data", "precision"]
    summary = found.groupby(kind, sort=False, as_index=False).agg(
        seeds=("seeds", lambda seeds: ", ".join(map(str, sorted(seeds)))),
        MB=("MB", "sum"),
        device=("device", together),
        commit=("commit", lambda commits: _commit(together(commits))),
        compute=("seconds", lambda seconds: duration(seconds.sum())),
    )
    return summary.round({"MB": 1})


def _commit(commit: str) -> str:
    """A commit, or how many there are."""
    return commit if ";" not in commit else f"{commit.count(';') + 1} commits"
