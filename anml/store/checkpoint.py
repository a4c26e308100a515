"""Checkpoints: safetensors with a JSON header, written atomically; no pickle is ever loaded.

Headers are read without torch: pages ask them how far a model is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from anml.errors import AnmlError
from anml.results import device_name, running_commit, together
from anml.store.files import replacing

if TYPE_CHECKING:
    import torch
    from torch import Tensor

HEADER = "anml"
FORMAT = 1
WORKING = ".resume.safetensors"
"""How the name of a working checkpoint ends."""
WORKING_FILES = f"*-seeds*{WORKING}"
"""Pattern of the names that `working_name` gives."""


def model_name(training: str, seed: int) -> str:
    """The name of a finished model's file."""
    return f"{training}-seed{seed}.safetensors"


def working_name(training: str, seeds: Iterable[int]) -> str:
    """The name of the file that a meta-training of `seeds`, side by side, goes on from."""
    return f"{training}-seeds{'_'.join(map(str, seeds))}{WORKING}"


def parse_working_name(name: str) -> tuple[str, tuple[int, ...]]:
    """The reverse of `working_name`; no seeds where the name is not one of those."""
    training, _, seeds = name.removesuffix(WORKING).rpartition("-seeds")
    numbers = seeds.split("_")
    return training, tuple(map(int, numbers)) if all(map(str.isdecimal, numbers)) else ()


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write `tensors` and the JSON-able `header` under a temporary name, then rename.

    The header says which commit of the package was running on what, unless it does already.

    Raises:
        AnmlError: `path` cannot be written.
    """
    from safetensors.torch import save_file

    made_on = {device_name(tensor.device) for tensor in tensors.values()}
    own = {"format": FORMAT, "commit": running_commit(), "made_on": together(made_on)}
    text = json.dumps({**own, **header}, sort_keys=True)
    try:
        tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={HEADER: text})
    except (OSError, SafetensorError) as error:
        raise AnmlError(
            f"cannot write the checkpoint {path}: {getattr(error, 'strerror', None) or error}; "
            "free some space, then run again to go on (`anml meta-train` with --resume), or begin "
            "anew elsewhere with --out"
        ) from error


def load_checkpoint(
    path: Path, device: torch.device | str = "cpu"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of `path`; AnmlError if it is missing, damaged or not one of ours."""
    options = {"framework": "pt", "device": str(device)}
    return _read(path, options, lambda file: {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


def read_header(path: Path) -> dict[str, Any]:
    """The header alone, without reading the tensors; AnmlError as `load_checkpoint`."""
    return _read(path, {"framework": "numpy"}, lambda file: None)[1]


def _read(
    path: Path, options: Mapping[str, str], take: Callable[[Any], Any]
) -> tuple[Any, dict[str, Any]]:
    """What `take` takes of a checkpoint opened with `options`, and its header."""
    if not path.is_file():
        raise AnmlError(f"no checkpoint at {path}: run the meta-training that makes it first")
    try:
        path.open("rb").close()  # safetensors calls all that it cannot open missing
        with safe_open(path, **options) as file:
            header = json.loads((file.metadata() or {})[HEADER])
            taken = take(file)
    except OSError as error:
        raise AnmlError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise AnmlError(
            f"{path} is damaged or not a checkpoint of this package: delete it and train again"
        ) from error
    if header.get("format") != FORMAT:
        raise AnmlError(
            f"{path} has checkpoint format {header.get('format')}, this version reads {FORMAT}: "
            "train again or use the version that wrote it"
        )
    return taken, header
