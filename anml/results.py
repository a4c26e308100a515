"""Tidy result tables with provenance: write, read, refuse.

Everything slow ends in a small table, one observation a row, stored as Parquet with its provenance
as JSON in the file's metadata. Figures only read such tables, so a table must never be half
written, mistyped, or separated from the name of the data that it was computed on.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import anml
from anml.errors import AnmlError
from anml.profiles import PROFILES
from anml.store.files import replacing
from anml.store.tables import checked, listing

if TYPE_CHECKING:
    import torch

SOURCE_LABELS = {"omniglot": "Omniglot", "glyphs": "embedded drawings, NOT Omniglot"}
PROVENANCE_KEY = b"anml_provenance"


@dataclass(frozen=True)
class Provenance:
    """Where a table comes from; stored in the table and printed under every figure.

    `seconds` is the compute time in seconds, `date` is ISO 8601 in UTC, `profile_values` holds the
    profile's own values (JSON types only), `device` names a kind of hardware and never a host.
    """

    data_source: str
    data_fingerprint: str
    profile: str
    profile_values: dict[str, Any]
    package_version: str
    commit: str
    device: str
    seconds: float
    date: str

    def line(self) -> str:
        """Return the one line that is printed under every figure and table."""
        parts = (
            f"Data: {SOURCE_LABELS.get(self.data_source, self.data_source)}"
            f" (fingerprint {self.data_fingerprint})",
            f"profile {self.profile}{self._changed()}",
            f"{self.device}",
            f"anml {self.package_version}, commit {self.commit}",
            f"{self.date}",
            f"compute time {duration(self.seconds)}",
        )
        return " | ".join(parts)

    def _changed(self) -> str:
        """Where the values are not the profile's: ` with oml_outer_rate 0.003`; else ''."""
        standing = PROFILES[self.profile].settings() if self.profile in PROFILES else {}
        changes = [
            f"{name} {self.profile_values[name]}"
            for name, value in json.loads(json.dumps(standing)).items()
            if name != "name" and self.profile_values.get(name, value) != value
        ]
        return f" with {', '.join(changes)}" if changes else ""


@dataclass(frozen=True)
class Table:
    """A result table: one observation a row, and where it comes from."""

    frame: pd.DataFrame
    provenance: Provenance


def duration(seconds: float) -> str:
    """Return a time span for people: `12 s`, `3.4 min`, `5.0 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def git_commit(folder: Path | None = None) -> str:
    """Return the commit of the package's source.

    `folder` is the package folder (default: this one). `+changes` is appended when a file under it
    differs from the commit or is new; `unknown` is returned where the package is not a tracked part
    of a git repository.
    """
    folder = Path(anml.__file__).parent if folder is None else folder

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # A package installed inside another project's tree is not that project's commit.
        if not git("ls-files", "--", "."):
            return "unknown"
        commit = git("rev-parse", "--short=12", "HEAD")
        return f"{commit}+changes" if git("status", "--porcelain", "--", ".") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@cache
def running_commit() -> str:
    """Return the commit that this process runs: `git_commit` as it was when first asked."""
    return git_commit()


def device_name(device: torch.device | str = "cpu") -> str:
    """Return the hardware in words, without a host name: `CPU, 2 threads`."""
    import torch  # whoever only reads tables need not wait for it

    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type.upper()}, {threads} thread{'s' if threads != 1 else ''}"


def together(parts: Iterable[str]) -> str:
    """Return what several parts of a result say of where they were made, each once."""
    return "; ".join(sorted({one for part in parts for one in part.split("; ")}))


def provenance_now(
    *,
    data_source: str,
    data_fingerprint: str,
    profile: str,
    profile_values: Mapping[str, Any],
    seconds: float,
    device: str | None = None,
    commit: str | None = None,
) -> Provenance:
    """Return the provenance of a table that has just been computed, `seconds` of work in all.

    `device`, in words, and `commit`: what made it; by default this process and its machine.
    """
    return Provenance(
        data_source=data_source,
        data_fingerprint=data_fingerprint,
        profile=profile,
        profile_values=dict(profile_values),
        package_version=anml.__version__,
        commit=commit or running_commit(),
        device=device or device_name(),
        seconds=float(seconds),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def write_table(path: Path, frame: pd.DataFrame, provenance: Provenance) -> None:
    """Write a table and its provenance as Parquet, atomically.

    The file's name says which columns it must have (`TABLES` of `anml.store.tables`). Rows are
    sorted, so the same observations give the same bytes in whatever order they were made.

    Raises:
        AnmlError: a column is missing, mistyped or out of range; the rows' `profile` or `data`
            differ from the provenance; the provenance is not plain JSON; the folder is read-only.
    """
    path = Path(path)
    _check_provenance(provenance, path.name)
    frame = checked(path.stem, frame)
    for column, expected in (("profile", provenance.profile), ("data", provenance.data_source)):
        others = sorted(set(frame[column]) - {expected})
        if others:
            raise AnmlError(
                f"{path.name}: column {column!r} holds {listing(others)} but the provenance says "
                f"{expected!r}; write one table for each"
            )
    table = pa.Table.from_pandas(frame, preserve_index=False)
    text = json.dumps(asdict(provenance), sort_keys=True, ensure_ascii=False)
    # Replacing pandas' own metadata keeps library versions out of the bytes.
    table = table.replace_schema_metadata({PROVENANCE_KEY: text.encode()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
    except OSError as problem:
        raise AnmlError(
            f"cannot write {path}: {problem.strerror or problem}; make the folder writable or "
            "choose another one"
        ) from problem


def read_table(path: Path) -> Table:
    """Read a table that `write_table` wrote and check it again.

    Raises:
        AnmlError: the file is missing, is not a whole Parquet file, carries no provenance, or its
            columns are not those of its name.
    """
    path = Path(path)
    if not path.is_file():
        raise AnmlError(
            f"no results table at {path}; make it with `make results PROFILE=... DATA=...`"
        )
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as problem:
        raise AnmlError(
            f"{path} is not a readable Parquet file (truncated or damaged); delete it and make it "
            "again with `make results PROFILE=... DATA=...`"
        ) from problem
    text = (table.schema.metadata or {}).get(PROVENANCE_KEY)
    if text is None:
        raise AnmlError(
            f"{path} carries no provenance, so it is not one of this package's tables; make it "
            "with `make results PROFILE=... DATA=...`"
        )
    try:
        provenance = Provenance(**json.loads(text))
    except (ValueError, TypeError) as problem:
        names = ", ".join(field.name for field in fields(Provenance))
        raise AnmlError(f"{path}: its provenance is not understood; it must hold {names}") from (
            problem
        )
    return Table(checked(path.stem, table.to_pandas()), provenance)


def _check_provenance(provenance: Provenance, name: str) -> None:
    """Refuse an unknown data source, a negative time, values that JSON cannot hold."""
    if provenance.data_source not in SOURCE_LABELS:
        raise AnmlError(
            f"{name}: unknown data source {provenance.data_source!r}; allowed: "
            f"{listing(SOURCE_LABELS)}"
        )
    if not (math.isfinite(provenance.seconds) and provenance.seconds >= 0):
        raise AnmlError(f"{name}: compute time must be 0 s or more, not {provenance.seconds}")
    try:
        same = json.loads(json.dumps(provenance.profile_values)) == provenance.profile_values
    except (TypeError, ValueError):
        same = False
    if not same:
        raise AnmlError(
            f"{name}: profile_values must hold JSON types only (text, numbers, booleans, null, "
            "lists, objects with text keys)"
        )
