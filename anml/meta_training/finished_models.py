"""Finished models that stay: what was measured on them would not be of the models in their place.

Seeds that are trained side by side round otherwise than each alone, and so does another machine: to
meta-train a seed again gives another model.
"""

from typing import Any

import torch
from torch import Tensor

from anml.errors import AnmlError
from anml.meta_training.training_job import Job
from anml.store.checkpoint import load_checkpoint


def refuse_overwriting(job: Job, resume: bool) -> None:
    """Refuse to meta-train `job` where that would put another model in a finished one's place.

    With `resume` a model gives way that the job's working checkpoint goes on from, or has come to;
    and where all of them are finished, none is written.

    Raises:
        AnmlError: a model of one of the seeds would be replaced, or a checkpoint is damaged.
    """
    paths = {seed: job.model_path(seed) for seed in job.seeds}
    there = {seed: load_checkpoint(path) for seed, path in paths.items() if path.is_file()}
    done = [header["iteration"] >= job.iterations for _, header in there.values()]
    if not there or (resume and len(there) == len(paths) and all(done)):
        return
    working = resume and job.resume_path.is_file()
    log = load_checkpoint(job.resume_path)[0]["log"] if working else None
    replaced = [
        seed
        for seed, (model, _) in there.items()
        if log is None or not _begins_with(log[:, job.seeds.index(seed)], model)
    ]
    if replaced:
        numbers = ", ".join(map(str, replaced))
        seeds, are = ("seeds", "are") if len(replaced) > 1 else ("seed", "is")
        raise AnmlError(
            f"{seeds} {numbers} of {job.training.name} {are} finished, and other models would be "
            f"under what was measured: leave {seeds} {numbers} out of --seeds, choose another "
            f"folder with --out, or delete {', '.join(str(paths[seed]) for seed in replaced)}"
        )


def _begins_with(log: Tensor, model: dict[str, Any]) -> bool:
    """Whether a meta-training with this `log` was once at the finished `model`, to the bit.

    Stretches before a restart from a recorded model are NaN in both.
    """
    own = model.get("log")  # a recorded model has none
    if own is None or len(own) > len(log):
        return False
    return torch.allclose(log[: len(own)], own, rtol=0, atol=0, equal_nan=True)
