"""Going on from recorded models, of which there is no working checkpoint (any more).

They have no head, none of Adam's moments, and perhaps half precision. What is missing is found
again before anything else changes: the last `SETTLING` meta-iterations are done over with the same
draws; in them the head alone learns, from a fresh draw, while Adam gathers the moments of all
weights. What comes of it is a working checkpoint like another, and its header says so.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from anml.errors import AnmlError
from anml.meta_train import CODE, initial_state, made_by, refuse_other_settings, save_working
from anml.meta_training.outer_step import OuterLoop, State, new_optimizer
from anml.meta_training.precision import choose_float32
from anml.meta_training.progress import progress_text
from anml.meta_training.training_job import Job, rates
from anml.results import running_commit, together
from anml.store.checkpoint import load_checkpoint
from anml.store.code_state import code_state
from anml.store.files import require_writable
from anml.store.tables import LOG_METRICS

SETTLING = 500
"""Meta-iterations that are done over for the head and Adam's moments."""
SETTLING_RATE = 20
"""The head's rate in the first of them, in units of its usual one, to which it falls linearly."""


def warm_start(job: Job, folder: Path, *, settling: int = SETTLING, progress: bool = True) -> None:
    """Write the working checkpoint that goes on from the models recorded in `folder`.

    `folder`: such as results/paper/lengths/10000/checkpoints, with a model for every seed of the
    job, all after as many meta-iterations. AnmlError: a model is missing, of other settings or
    drawings, not shorter than the job, or of another length than the others.
    """
    running_commit(), code_state(CODE, job.training)  # before the tree may change under a long run
    require_writable(job.folder)
    models = [load_checkpoint(folder / job.model_path(seed).name) for seed in job.seeds]
    headers = [header for _, header in models]
    done = _iterations(job, folder, headers)
    settling = min(settling, done)
    choose_float32(job.tf32)
    state = initial_state(job)
    recorded = [name for name in state if all(name in tensors for tensors, _ in models)]
    kinds = {str(models[0][0][name].dtype).removeprefix("torch.") for name in recorded}
    with torch.no_grad():
        for name in recorded:
            state[name].copy_(torch.stack([tensors[name] for tensors, _ in models]))
    began = time.monotonic()
    optimizer = _settle(job, state, done, settling, progress)
    # The models came without their log, and what is done over is no part of it.
    log = torch.full((done, len(job.seeds), len(LOG_METRICS)), torch.nan, dtype=torch.float64)
    before = {
        "commit": together(header["commit"] for header in headers),
        "made_on": together(header["made_on"] for header in headers),
        "seconds": sum(header["seconds"] for header in headers),
        "restarts": [
            *headers[0].get("restarts", []),
            {"iteration": done, "settling": settling, "precision": together(kinds)},
        ],
    }
    save_working(job, state, optimizer, log, made_by(job, before, time.monotonic() - began))


def _iterations(job: Job, folder: Path, headers: list[dict[str, Any]]) -> int:
    """After how many meta-iterations the models were recorded, if the job can go on from them."""
    for seed, header in zip(job.seeds, headers, strict=True):
        refuse_other_settings(job, folder / job.model_path(seed).name, header)
    if any(header.get("restarts") != headers[0].get("restarts") for header in headers):
        raise AnmlError(
            f"the models in {folder} were gone on from before, each otherwise: name one seed a time"
        )
    lengths = sorted({header["iteration"] for header in headers})
    if len(lengths) > 1 or lengths[0] >= job.iterations:
        raise AnmlError(
            f"the models in {folder} have {' and '.join(map(str, lengths))} meta-iterations, the "
            f"profile asks for {job.iterations}: name models of one length that is shorter"
        )
    return lengths[0]


def _settle(job: Job, state: State, done: int, settling: int, progress: bool) -> torch.optim.Adam:
    """Do the last `settling` of `done` meta-iterations over, the head alone learning.

    Returns Adam with its moments.
    """
    optimizer = new_optimizer(job, state)
    heads = [parameter for name, parameter in state.items() if name.startswith("head.")]
    for group in optimizer.param_groups:
        bodies = [p for p in group["params"] if all(p is not head for head in heads)]
        group |= {"params": bodies, "lr": 0.0}
    _, usual = rates(job.training, job.profile)
    # A tensor: what is captured on a GPU knows it by its address.
    own = {"params": heads, "lr": torch.tensor(usual, device=job.device)}
    optimizer.add_param_group(own)
    until = replace(job, profile=job.profile.of_length(done))
    # One at a time on a GPU, too: the rate falls from each to the next.
    outer = OuterLoop(until, state, optimizer, done - settling, ahead=1)
    with tqdm(total=settling, desc="settle the head", unit="it", disable=not progress) as bar:
        while outer.done < done:
            left = (done - outer.done) / settling
            own["lr"].fill_(usual * (1 + (SETTLING_RATE - 1) * left))
            rows = outer.run()
            bar.set_postfix_str(progress_text(rows), refresh=False)
            bar.update(len(rows))
    return optimizer
