"""Recording that happens whole or not at all: all is written aside first, and then moved.

What stops it earlier leaves what is recorded as it was. What stops it while files are moved leaves
a list of them, which the next recording into the folder works off.
"""

import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from anml.errors import AnmlError
from anml.results import Table, write_table
from anml.store.checkpoint import save_checkpoint
from anml.store.files import replacing

WRITING, WRITTEN = ".recording", ".recorded"
"""Folders beside what is recorded: with a part of what is to be moved there, and with all of it."""
LIST = "files.json"

Bodies = Mapping[Path, tuple[Mapping[str, Tensor], Mapping[str, Any]]]
"""Tensors and headers of models, by the path where they are to be recorded."""


def write_aside(
    destination: Path,
    tables: Mapping[str, Table],
    bodies: Bodies,
    removed: Collection[Path],
    asked: str,
) -> None:
    """Write all that `move_in_place` moves into `destination`.

    `tables`: by their file's name; `removed`: what goes then; `asked`: what tells this recording
    from another, for `move_in_place` to return.

    Raises:
        AnmlError: the disk is full, or a table is not what its name says; nothing was recorded.
    """
    folder = destination / WRITING
    shutil.rmtree(folder, ignore_errors=True)
    models = {path.relative_to(destination): body for path, body in bodies.items()}
    files = {
        "asked": asked,
        "written": [*tables, *map(str, models)],
        "removed": [str(path.relative_to(destination)) for path in removed],
    }
    try:
        for name, table in tables.items():
            write_table(folder / name, table.frame, table.provenance)
        for path, (tensors, header) in models.items():
            save_checkpoint(folder / path, tensors, header)
        folder.mkdir(exist_ok=True)
        with replacing(folder / LIST) as temporary:
            temporary.write_text(json.dumps(files))
        folder.rename(destination / WRITTEN)
    except (AnmlError, OSError) as error:
        problem = error.__cause__ or error
        if isinstance(problem, AnmlError):  # not of the disk
            raise
        why = getattr(problem, "strerror", None) or problem
        raise AnmlError(
            f"nothing was recorded in {destination}: {why}; free some space, then run the same "
            "command again"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move_in_place(destination: Path) -> tuple[str, list[Path]] | None:
    """Move what `write_aside` wrote to where it belongs; None if there is nothing (any more).

    Returns the recording's `asked` (`write_aside`), and what was written.

    Raises:
        AnmlError: a file cannot be moved; the next call goes on.
    """
    folder = destination / WRITTEN
    try:
        if not (folder / LIST).is_file():  # it goes only when all is moved
            shutil.rmtree(folder, ignore_errors=True)
            return None
        files = json.loads((folder / LIST).read_text())
        for name in files["written"]:
            if (folder / name).is_file():
                (destination / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).replace(destination / name)
        for name in files["removed"]:
            (destination / name).unlink(missing_ok=True)
        shutil.rmtree(folder)
    except OSError as error:
        raise AnmlError(
            f"what is recorded in {destination} is not all in its place: "
            f"{error.strerror or error}; free some space, then run the same command to finish"
        ) from error
    return files["asked"], [destination / name for name in files["written"]]
