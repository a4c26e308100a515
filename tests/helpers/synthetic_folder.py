"""A folder of made-up results: a table of every kind that pages read."""

from dataclasses import replace
from pathlib import Path

import synthetic_disagreements
import synthetic_head
import synthetic_learning
import synthetic_lengths
import synthetic_probes
import synthetic_rates
import synthetic_results
import synthetic_searches
import synthetic_table

from anml.results import write_table


def write(folder: Path, profile: str, data: str, fingerprint: str = "") -> Path:
    """Write all tables as of a profile and data source, and return the folder.

    `fingerprint`: of the drawings; empty: a made-up one.
    """
    tables = synthetic_results.everything(data) | synthetic_probes.tables(data)
    tables |= synthetic_lengths.tables(profile, data)
    tables["disagreements"] = synthetic_disagreements.table({})
    tables["training_rates"] = synthetic_rates.table(data)
    tables["head_rules"] = synthetic_head.table(data)
    tables["head_outputs"] = synthetic_head.outputs(data)
    tables["meta_train_log"] = synthetic_learning.table(data)
    tables["learning_rates"] = synthetic_searches.table(data)
    source = synthetic_table.provenance(data, profile=profile)
    values = source.profile_values | {"drawings_split": "shuffled"}
    known = fingerprint or source.data_fingerprint
    source = replace(source, profile_values=values, data_fingerprint=known)
    for name, table in tables.items():
        frame = table.frame.assign(profile=profile, data=data)
        write_table(folder / f"{name}.parquet", frame, source)
    return folder
