"""What several tests of meta-training do: train, start, take a step, compare to the bit."""

from pathlib import Path

import torch

from anml import meta_train as module
from anml.meta_train import meta_train
from anml.meta_training.outer_step import OuterLoop, State
from anml.meta_training.training_job import Job
from anml.recording.record import Model
from anml.store.checkpoint import load_checkpoint, save_checkpoint
from anml.treatments import OPTIONS, PROCEDURES, TRAININGS

TRAINED = [name for name, t in TRAININGS.items() if t.procedure != "none"]
DISTINCT = (
    *("anml", "anml-batch-norm", "anml-as-released"),
    *("oml", "oml-linear", "oml-white-paper", "pretrain"),
)
"""Every network and procedure, and every option that the loop around a gradient is told: enough
where all of `TRAINED` would do the same again."""
WITH_REDRAWS = [
    (name, way)
    for name in TRAINED
    for way in OPTIONS["redraw"]
    if way in PROCEDURES[TRAININGS[name].procedure].get("redraw", OPTIONS["redraw"])
]
"""Every meta-training with each way of redrawing a row that it can have."""
DOUBLE = torch.float64


def train(job: Job, **options: object) -> list[dict[str, torch.Tensor]]:
    """Weights and log of every seed's finished model."""
    return [load_checkpoint(p)[0] for p in meta_train(job, progress=False, **options)]


def recorded_models(job: Job, folder: Path, half: bool = False) -> Path:
    """A folder of the job's finished models as they are recorded."""
    for path in meta_train(job, progress=False):
        model = Model(path, folder / path.name, job.iterations)
        save_checkpoint(model.recorded, *model.headless(half))
    return folder


def start(job: Job, ahead: int | None = None) -> tuple[State, OuterLoop]:
    """A fresh job's parameters, and the loop that trains them."""
    state, optimizer, *_ = module._start(job, resume=False, keep=False)
    return state, OuterLoop(job, state, optimizer, ahead=ahead)


def assert_equal_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name
