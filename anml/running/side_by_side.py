"""On a GPU, all seeds of a meta-training in one process: replicas share its launches.

One model after another would leave most of the card idle. On a CPU, which is busy with one, every
seed is a job of its own.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch

from anml import data
from anml.meta_train import Job, meta_train
from anml.meta_training.outer_step import on_gpu
from anml.running.jobs import Place, TrainJob, Work
from anml.store.checkpoint import load_checkpoint, save_checkpoint
from anml.store.interrupt import terminate_as_interrupt
from anml.treatments import find_training


def side_by_side(place: Place, jobs: Iterable[Work]) -> dict[str, tuple[int, ...]]:
    """The seeds of each meta-training that a run trains side by side: those that are missing, where
    they are several and the device is a GPU. One that was begun alone goes on alone.
    """
    if not on_gpu(place.device):
        return {}
    missing: dict[str, list[int]] = defaultdict(list)
    for job in jobs:
        if (
            isinstance(job, TrainJob)
            and not job.result(place).is_file()
            and not job.steps_begun(place)
        ):
            missing[job.training].append(job.seed)
    return {name: tuple(sorted(seeds)) for name, seeds in missing.items() if len(seeds) > 1}


def train_side_by_side(
    place: Place, data_name: str, jobs: Iterable[Work], heard: Callable[[str], None]
) -> None:
    """Meta-train what `side_by_side` names, going on from working checkpoints of the same seeds.

    Then each seed has a working checkpoint of its own, as if it had been alone.
    `data_name`: what `data.load` was asked for; `heard` is told of each meta-training's end.
    AnmlError: as `anml.meta_train.meta_train`.
    """
    together = side_by_side(place, jobs)
    if not together:
        return
    drawings = data.load(data_name)
    with terminate_as_interrupt():
        for name, seeds in together.items():
            folder = place.folder / "checkpoints"
            job = Job(find_training(name), place.profile, drawings, seeds, folder, place.device)
            meta_train(job, resume=True, keep=place.keep)
            _take_apart(job)
            heard(f"done: meta-train {name}, seeds {', '.join(map(str, seeds))}")
            torch.cuda.empty_cache()  # what this process keeps, the workers would lack


def _take_apart(job: Job) -> None:
    """Put working checkpoints of single seeds in the place of the one that they shared: whatever
    goes on from one, such as a longer meta-training, asks for a seed alone.
    """
    tensors, header = load_checkpoint(job.resume_path)
    alone = header | {"seconds": header["seconds"] / len(job.seeds)}
    for r, seed in enumerate(job.seeds):
        one = slice(r, r + 1)
        own = {name: tensor if name == "step" else tensor[one] for name, tensor in tensors.items()}
        own["log"] = tensors["log"][:, one]
        save_checkpoint(replace(job, seeds=(seed,)).resume_path, own, alone)
    job.resume_path.unlink()
