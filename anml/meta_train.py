"""Meta-training: the outer loop with Adam, checkpoints, resume, and a log (paper, Algorithm 1).

Several seeds are trained as replicas in one program: every parameter carries a leading axis `R`.
A working checkpoint (weights, Adam's moments, log) is written every few minutes; a run that was
killed continues from it to the same bits on a CPU. At the end each seed's model is written alone.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from anml import __version__
from anml.drawings.pixels import INK, find_pixels, take_ink
from anml.errors import AnmlError, did_you_mean
from anml.meta_training.divergence import refuse_divergence
from anml.meta_training.outer_step import OuterLoop, State, new_optimizer
from anml.meta_training.precision import choose_float32
from anml.meta_training.progress import progress_text
from anml.meta_training.training_job import NETWORKS, Job, build_model, initial_model
from anml.profiles import PROFILES, Profile
from anml.results import device_name, running_commit, together
from anml.store.checkpoint import load_checkpoint, save_checkpoint
from anml.store.code_state import code_state
from anml.store.files import require_writable
from anml.store.interrupt import Interrupt, defer_interrupt
from anml.store.tables import LOG_METRICS
from anml.treatments import TRAININGS, find_training

CODE = "anml.meta_train"
"""The module by which checkpoints say which code made them (`anml.store.code_state`)."""
CHECKPOINT_SECONDS = 180.0


def meta_train(
    job: Job,
    *,
    resume: bool = False,
    keep: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    on_step: Callable[[int, int], None] | None = None,
    progress: bool = True,
) -> list[Path]:
    """Run the job to its end and return the finished models' paths, one a seed.

    A finished model of the same seed is replaced unless `resume`; `anml meta-train` refuses to.
    `drawings` being those of `anml.data.load`, two models of a small ANML in `runs/mine` are

        job = Job(find_training("anml"), find_profile("smoke"), drawings, (0, 1), Path("runs/mine"))
        paths = meta_train(job)

    `resume`: go on from the working checkpoint if there is one; it stays when the run is finished,
    so that a profile with more iterations goes on where a shorter one ended. `keep`: even if other
    code began it. `on_step(done, total)` hears of every iteration. DivergedError: the loss of
    some seed diverged. AnmlError: the working checkpoint belongs to other settings or code or is
    longer, the disk is full, or Ctrl-C (after saving).
    """
    running_commit(), code_state(CODE, job.training)  # before the tree may change under a long run
    paths = [job.model_path(seed) for seed in job.seeds]
    require_writable(job.folder)
    if resume and all(path.is_file() and _finished(job, path) for path in paths):
        return paths
    state, optimizer, log, start, before = _start(job, resume, keep)
    choose_float32(job.tf32)
    outer = OuterLoop(job, state, optimizer, start)
    began, saved = time.monotonic(), time.monotonic()

    def made() -> dict[str, Any]:
        return made_by(job, before, time.monotonic() - began)

    def save(done: int) -> None:
        save_working(job, state, optimizer, log[:done], made())

    bar = tqdm(
        total=job.iterations,
        initial=start,
        desc=f"meta-train {job.training.name}",
        unit="it",
        disable=not progress,
        smoothing=0.05,
    )
    with bar, defer_interrupt() as interrupt:
        while outer.done < job.iterations:
            rows = outer.run()
            for iteration, row in enumerate(rows, outer.done - len(rows)):
                log[iteration] = row
                refuse_divergence(job, log, iteration)
                if on_step:
                    on_step(iteration + 1, job.iterations)
            latest = log[max(0, outer.done - 50) : outer.done]
            bar.set_postfix_str(progress_text(latest), refresh=False)
            bar.update(len(rows))
            asked = interrupt.asked  # read once: Ctrl-C may come between the two questions
            if asked or time.monotonic() - saved > checkpoint_seconds:
                save(outer.done)
                saved = time.monotonic()
            if asked:
                _say_how_to_go_on(job, outer.done, interrupt)
    save(job.iterations)
    made_now = made()
    # Replicas share the run's time: what one model took is its part of it.
    made_now["seconds"] /= len(job.seeds)
    for r, seed in enumerate(job.seeds):
        weights = {name: tensor[r] for name, tensor in state.items()}
        header = job.header() | made_now
        header |= {
            "seed": seed,
            "iteration": job.iterations,
            "versions": {"anml": __version__, "torch": torch.__version__},
        }
        save_checkpoint(paths[r], weights | {"log": log[:, r]}, header)
    return paths


def load_model(path: str | Path, network: str, profile: Profile, device: str = "cpu") -> nn.Module:
    """A finished model for evaluation, which takes ink whatever it was meta-trained on.

    `network`: 'anml', 'oml' or 'oml-linear'; `profile`: of the widths that it was made with. The
    model maps drawings [B, 1, 28, 28] in [0, 1] to logits [B, outputs]. A recorded model, as all of
    `results/` are, has no head, and zeros stand in for it: its logits mean nothing until a head is
    drawn (`anml.meta_test.redraw_head`) and has learned, as at meta-test, which keeps no head
    (paper, Algorithm 2). AnmlError: no such network; no model there, or one of other widths.
    """
    if network not in NETWORKS:
        raise AnmlError(
            f"unknown network {network!r}{did_you_mean(network, NETWORKS)}: "
            f"choose one of {', '.join(NETWORKS)}"
        )
    path = Path(path)
    tensors, header = load_checkpoint(path, device)
    model = build_model(network, profile).to(device)
    tensors.pop("log", None)
    # Recorded models come without their head: meta-test draws it anew.
    tensors |= {
        name: torch.zeros_like(model.state_dict()[name]) for name in header.get("without", [])
    }
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise AnmlError(_misfit(path, network, profile, header)) from error
    shown = find_training(header["training"]).pixels
    if shown != INK:
        take_ink(model, find_pixels(shown))
    return model.eval()


def _misfit(path: Path, network: str, profile: Profile, header: Mapping[str, Any]) -> str:
    """Why the weights of a model are not those of `network` at the profile's width, and what is."""
    said = f"{path} does not fit the {network} network of profile {profile.name!r}: "
    own = TRAININGS[header["training"]].network if header.get("training") in TRAININGS else network
    if own != network:
        return said + f"it is a model of the {own} network: ask for that one"
    settings = header.get("settings", {})
    widths = {name: settings[name] for name in NETWORKS[network].values if name in settings}
    others = {name: getattr(profile, name) for name in widths}
    if widths == others:
        return said + "its weights are others than its header says: meta-train it again"
    has, asked = (", ".join(f"{k} {v}" for k, v in one.items()) for one in (widths, others))
    fits = [p.name for p in PROFILES.values() if {k: getattr(p, k) for k in widths} == widths]
    such = f" ({' or '.join(fits)})" if fits else ""
    return said + (
        f"it has {has}, the profile {asked}: choose the --profile that it was made with{such}"
    )


def initial_state(job: Job) -> State:
    """The parameters [R, ...] of the job's seeds as meta-training starts them."""
    models = [initial_model(job.training.network, job.profile, seed) for seed in job.seeds]
    return {
        name: torch.stack([dict(m.named_parameters())[name].detach() for m in models])
        .to(job.device, job.dtype)
        .requires_grad_()
        for name, _ in models[0].named_parameters()
    }


def _start(
    job: Job, resume: bool, keep: bool
) -> tuple[State, torch.optim.Adam, Tensor, int, dict[str, Any]]:
    """Fresh or resumed: parameters [R, ...], Adam, log [iterations, R, 3], position, header."""
    state = initial_state(job)
    optimizer = new_optimizer(job, state)
    log = torch.zeros(job.iterations, len(job.seeds), len(LOG_METRICS), dtype=torch.float64)
    if not (resume and job.resume_path.is_file()):
        return state, optimizer, log, 0, {}
    tensors, header = load_checkpoint(job.resume_path, job.device)
    refuse_other_settings(job, job.resume_path, header)
    _refuse_overshoot(job, job.resume_path, header)
    if not keep and header.get("code") != code_state(CODE, job.training):
        raise AnmlError(
            f"{job.resume_path} was begun by other code than this: add --keep to go on with this "
            "code all the same, or delete that file to start afresh"
        )
    with torch.no_grad():
        for name, parameter in state.items():
            parameter.copy_(tensors[f"weights/{name}"])
            optimizer.state[parameter] = {
                key: tensors[f"{key}/{name}"] for key in ("exp_avg", "exp_avg_sq")
            } | {"step": tensors["step"].clone()}
    done = header["iteration"]
    log[:done] = tensors["log"]
    return state, optimizer, log, done, header


def made_by(job: Job, before: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """What a checkpoint says of how it was made, those included that it went on from.

    `restarts`, if any: where it went on from a recorded model (`anml.meta_training.warm_start`).
    """
    own = {
        "commit": running_commit(),
        "made_on": device_name(job.device) + (", TF32" if job.tf32 else ""),
    }
    return {key: together([value, before.get(key, value)]) for key, value in own.items()} | {
        "code": code_state(CODE, job.training),
        "seconds": before.get("seconds", 0.0) + seconds,
        **{key: before[key] for key in ("restarts",) if key in before},
    }


def refuse_other_settings(job: Job, path: Path, header: Mapping[str, Any]) -> None:
    """Refuse to go on from, or to take for this job's, a checkpoint of another job."""
    mine, its = ({**h, **h.get("settings", {})} for h in (job.header(), header))
    others = [
        f"{key} is {its.get(key)} there, {value} now"
        for key, value in mine.items()
        if key != "settings" and its.get(key) != value
    ]
    if others:
        raise AnmlError(
            f"{path} was made with other settings ({'; '.join(others)}): use the same ones, "
            "choose another folder with --out, or delete that file to start afresh"
        )


def _finished(job: Job, path: Path) -> bool:
    """Whether the model at `path` is this job's and has all its iterations, not fewer."""
    _, header = load_checkpoint(path)
    refuse_other_settings(job, path, header)
    _refuse_overshoot(job, path, header)
    return header["iteration"] == job.iterations


def _refuse_overshoot(job: Job, path: Path, header: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that is past the job's last iteration: nothing leads back."""
    if header["iteration"] > job.iterations:
        raise AnmlError(
            f"{path} has {header['iteration']} iterations, this profile asks for {job.iterations}: "
            "ask for at least as many, choose another folder with --out, or delete that file to "
            "start afresh"
        )


def save_working(
    job: Job, state: State, optimizer: torch.optim.Adam, log: Tensor, made: Mapping[str, Any]
) -> None:
    """Write the working checkpoint: everything that the next iteration depends on."""
    tensors = {"log": log}
    for name, parameter in state.items():
        tensors[f"weights/{name}"] = parameter
        moments = optimizer.state[parameter]
        tensors["step"] = moments["step"]
        for key in ("exp_avg", "exp_avg_sq"):
            tensors[f"{key}/{name}"] = moments[key]
    save_checkpoint(job.resume_path, tensors, job.header() | made | {"iteration": len(log)})


def _say_how_to_go_on(job: Job, done: int, interrupt: Interrupt) -> None:
    """End after Ctrl-C or SIGTERM, when everything is saved."""
    interrupt.raise_with(
        f"stopped at iteration {done} of {job.iterations}, saved in {job.resume_path}: "
        "run the same command with --resume to go on"
    )
