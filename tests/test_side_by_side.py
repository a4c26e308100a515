"""On a GPU a run trains the missing seeds of a meta-training side by side; here a CPU stands in."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from refusal import refusal

from anml import meta_train as meta_train_module
from anml.drawings.packed import Drawings
from anml.meta_train import Job, meta_train
from anml.profiles import Profile
from anml.running import side_by_side as module
from anml.running.jobs import Place, TrainJob
from anml.running.pipeline import run
from anml.running.side_by_side import side_by_side, split_off
from anml.store.checkpoint import load_checkpoint, read_header, save_checkpoint
from anml.treatments import find_training

MODELS = 3
ALL = tuple(range(MODELS))


@pytest.fixture
def place(tiny: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Of three models, on a device that is taken for a GPU."""
    monkeypatch.setattr(module, "on_gpu", lambda device: True)
    return Place(replace(tiny, model_seeds=MODELS), tmp_path)


@pytest.fixture
def begin(place: Place, noise_drawings: Drawings) -> Callable[..., Path]:
    """`begin(*seeds)` leaves what a meta-training of these seeds leaves that stops half-way, and
    says where.
    """

    def make(*seeds: int) -> Path:
        half = replace(place.profile, meta_iterations=place.profile.meta_iterations // 2)
        folder = place.folder / "checkpoints"
        job = Job(find_training("anml"), half, noise_drawings, seeds, folder)
        for path in meta_train(job, progress=False):
            path.unlink()
        return job.resume_path

    return make


def train(place: Place, drawings: Drawings, packed: Path) -> str:
    """All of a run's meta-training of ANML; what its log says."""
    run(place.profile, drawings, str(packed), place.folder, only=["meta-train anml, "], workers=1)
    (log,) = (place.folder / "logs").glob("*.log")
    return log.read_text()


def break_at_once(monkeypatch: pytest.MonkeyPatch, *seeds: int) -> None:
    """Models of `seeds` start where no loss is finite."""
    start = meta_train_module.initial_model

    def broken(network: str, profile: Profile, seed: int) -> torch.nn.Module:
        model = start(network, profile, seed)
        if seed in seeds:
            torch.nn.init.constant_(model.head.weight, torch.inf)
        return model

    monkeypatch.setattr(meta_train_module, "initial_model", broken)


def jobs() -> list[TrainJob]:
    return [TrainJob("anml", seed) for seed in ALL]


def test_on_a_cpu_every_seed_is_a_job_of_its_own(tiny: Profile, tmp_path: Path) -> None:
    assert side_by_side(Place(tiny, tmp_path), jobs()) == []
    assert side_by_side(Place(tiny, tmp_path, "cuda:0"), jobs()) == [("anml", ALL)]


def test_one_meta_training_leaves_all_models(
    place: Place, noise_drawings: Drawings, packed_noise: Path
) -> None:
    """Those that each seed would have alone."""
    log = train(place, noise_drawings, packed_noise)
    assert "done: meta-train anml, seeds 0, 1, 2\n" in log
    assert "done: meta-train anml, seed 1" not in log
    alone = replace(place, folder=place.folder / "alone")
    for job in jobs():
        job.run(alone, noise_drawings, lambda steps: None)
        expected, _ = load_checkpoint(job.result(alone))
        ours, header = load_checkpoint(job.result(place))
        assert header["iteration"] == place.profile.meta_iterations
        for name, tensor in expected.items():
            torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=1e-5)
    assert side_by_side(place, jobs()) == []
    for job in jobs():
        tensors, header = load_checkpoint(job.working(place))
        save_checkpoint(job.working(place), tensors, header | {"code": "of another day"})
    assert side_by_side(place, jobs(), again=jobs()[:2]) == [("anml", (0, 1))]


def test_it_goes_on_where_the_same_seeds_were_stopped(
    place: Place, noise_drawings: Drawings, packed_noise: Path, begin: Callable[..., Path]
) -> None:
    shared = begin(*ALL)
    tensors, header = load_checkpoint(shared)
    save_checkpoint(shared, tensors, header | {"seconds": 3e6})
    train(place, noise_drawings, packed_noise)
    for job in jobs():
        header = read_header(job.result(place))
        assert header["iteration"] == place.profile.meta_iterations
        assert header["seconds"] == pytest.approx(1e6, rel=1e-3)


def test_then_each_seed_goes_on_alone(
    place: Place, noise_drawings: Drawings, packed_noise: Path
) -> None:
    """To a greater length, from its own part of what they shared: as if it had been alone."""
    train(place, noise_drawings, packed_noise)
    names = {path.name for path in (place.folder / "checkpoints").iterdir()}
    assert names == {name(place).name for job in jobs() for name in (job.result, job.working)}
    further = replace(place.profile, meta_iterations=place.profile.meta_iterations + 2)
    for job in jobs():
        longer, alone = (
            Place(further, folder) for folder in (place.folder, place.folder / "alone")
        )
        assert job.steps_begun(longer) == place.profile.meta_iterations
        job.run(longer, noise_drawings, lambda steps: None)
        job.run(alone, noise_drawings, lambda steps: None)
        ours, expected = (load_checkpoint(job.result(own))[0] for own in (longer, alone))
        for name, tensor in expected.items():
            torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=1e-5)


def test_what_other_code_began_is_set_aside_and_begun_anew(
    place: Place, noise_drawings: Drawings, packed_noise: Path, begin: Callable[..., Path]
) -> None:
    shared = begin(*ALL)
    tensors, header = load_checkpoint(shared)
    save_checkpoint(shared, tensors, header | {"code": "of another day", "seconds": 3e6})
    train(place, noise_drawings, packed_noise)
    (stale,) = (place.folder / "stale").rglob("*.safetensors")
    assert stale.name == shared.name
    assert all(read_header(job.result(place))["seconds"] < 1e5 for job in jobs())


@pytest.mark.parametrize("half_way", [False, True])
def test_a_seed_that_diverges_leaves_the_others_to_go_on(
    place: Place,
    noise_drawings: Drawings,
    packed_noise: Path,
    begin: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    half_way: bool,
) -> None:
    """At once, or in what was saved last; they come to what they would have come to alone."""
    if half_way:
        shared = begin(*ALL)
        tensors, header = load_checkpoint(shared)
        tensors["weights/head.weight"][1] = torch.inf
        save_checkpoint(shared, tensors, header | {"seconds": 3e6})
    else:
        break_at_once(monkeypatch, 1)
    said = refusal(lambda: train(place, noise_drawings, packed_noise))
    message = said.removesuffix(
        "; all that does not wait for it is finished: --gather makes tables of that"
    )
    assert message.startswith("meta-training anml, seed 1, diverged by iteration ")
    assert message.endswith(f" --set anml_inner_rate={place.profile.anml_inner_rate / 3:.1g}")
    (log,) = (place.folder / "logs").glob("*.log")
    assert f"diverged: {message}\n" in log.read_text()
    assert "done: meta-train anml, seeds 0, 2\n" in log.read_text()
    others = [TrainJob("anml", seed) for seed in (0, 2)]
    left = {path(place).name for job in others for path in (job.result, job.working)}
    left |= {TrainJob("anml", 1).working(place).name} if half_way else set()
    assert {path.name for path in (place.folder / "checkpoints").iterdir()} == left
    alone = replace(place, folder=place.folder / "alone")
    for job in others:
        job.run(alone, noise_drawings, lambda steps: None)
        expected, _ = load_checkpoint(job.result(alone))
        ours, header = load_checkpoint(job.result(place))
        assert header["seconds"] == pytest.approx(1e6 * half_way, rel=1e-3, abs=1e3)
        for name, tensor in expected.items():
            torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=1e-5)


def test_others_that_were_stopped_after_a_seed_diverged_go_on_together(
    place: Place, noise_drawings: Drawings, packed_noise: Path, begin: Callable[..., Path]
) -> None:
    """Before anything was saved of all: seed 1 has no beginning, and theirs is their own."""
    shared = begin(0, 2)
    tensors, header = load_checkpoint(shared)
    save_checkpoint(shared, tensors, header | {"seconds": 2e6})
    assert side_by_side(place, jobs()) == [("anml", (0, 2))]
    log = train(place, noise_drawings, packed_noise)
    assert "done: meta-train anml, seeds 0, 2\n" in log
    assert "done: meta-train anml, seed 1\n" in log
    seconds = [read_header(job.result(place))["seconds"] for job in jobs()]
    assert seconds == pytest.approx([1e6, 0, 1e6], rel=1e-3, abs=1e3)


@pytest.mark.parametrize("others", [(), (0,)])
def test_no_more_is_trained_than_what_has_not_diverged(
    place: Place, monkeypatch: pytest.MonkeyPatch, noise_drawings: Drawings, others: tuple[int, ...]
) -> None:
    """One seed that is left is alone already; where none is, nothing is."""
    broken = [seed for seed in ALL if seed not in others]
    break_at_once(monkeypatch, *broken)
    monkeypatch.setattr(module.data, "load", lambda name: noise_drawings)
    heard: list[str] = []
    lost = module.train_side_by_side(place, "", jobs(), heard.append)
    assert list(lost) == [TrainJob("anml", seed) for seed in broken]
    (message,) = set(lost.values())
    assert f"seeds {', '.join(map(str, broken))}, diverged" in message
    assert heard == [
        f"diverged: {message}",
        *(f"done: meta-train anml, seeds {seed}" for seed in others),
    ]
    left = {path.name for path in (place.folder / "checkpoints").iterdir()}
    kept = [TrainJob("anml", seed) for seed in others]
    assert left == {path(place).name for job in kept for path in (job.result, job.working)}


def test_seeds_that_were_begun_together_with_others_are_refused(
    place: Place, noise_drawings: Drawings, packed_noise: Path, begin: Callable[..., Path]
) -> None:
    """Which this run does not have."""
    begin(1, 7)
    message = refusal(lambda: train(place, noise_drawings, packed_noise))
    assert "--seeds 1,7 --resume" in message


def test_fewer_seeds_go_on_with_their_part_of_what_was_begun_together(
    place: Place, noise_drawings: Drawings, begin: Callable[..., Path]
) -> None:
    """Where all of them need more memory than a card has, say."""
    shared = begin(*ALL)
    tensors, _ = load_checkpoint(shared)
    folder = place.folder / "checkpoints"
    job = Job(find_training("anml"), place.profile, noise_drawings, (0, 2), folder)
    assert "add --resume" in refusal(lambda: split_off(job, place, resume=False))
    assert shared.is_file()
    split_off(job, place, resume=True)
    rest = replace(job, seeds=(1,))
    assert set(folder.iterdir()) == {job.resume_path, rest.resume_path}
    for part in (job, rest):
        ours, _ = load_checkpoint(part.resume_path)
        for name in ("weights/head.weight", "log"):
            along = 1 if name == "log" else 0
            own = tensors[name].index_select(along, torch.tensor(part.seeds))
            assert torch.equal(ours[name], own)
    split_off(job, place, resume=True)  # there is nothing left to split
    for resume in (False, True):  # no part of what is there
        message = refusal(partial(split_off, replace(job, seeds=(1, 2)), place, resume))
        assert "`--seeds 0,2 --resume`" in message


def test_seeds_in_another_order_go_on_with_what_they_have(
    place: Place, noise_drawings: Drawings, begin: Callable[..., Path]
) -> None:
    tensors, _ = load_checkpoint(begin(2, 0))
    folder = place.folder / "checkpoints"
    job = Job(find_training("anml"), place.profile, noise_drawings, (0, 2), folder)
    split_off(job, place, resume=True)
    assert list(folder.iterdir()) == [job.resume_path]
    ours, _ = load_checkpoint(job.resume_path)
    assert torch.equal(ours["weights/head.weight"], tensors["weights/head.weight"].flip(0))


def test_nothing_is_split_over_what_is_there_or_of_other_code(
    place: Place, noise_drawings: Drawings, begin: Callable[..., Path]
) -> None:
    folder = place.folder / "checkpoints"
    shared, further = begin(*ALL), begin(1)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    job = Job(find_training("anml"), place.profile, noise_drawings, (0, 2), folder)
    for seeds in ((0, 2), (1,)):  # the rest is there, or the part itself
        message = refusal(partial(split_off, replace(job, seeds=seeds), place, resume=True))
        assert str(shared) in message
        assert str(further) in message
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    further.unlink()
    tensors, header = load_checkpoint(shared)
    save_checkpoint(shared, tensors, header | {"code": "of another day"})
    assert "--keep" in refusal(partial(split_off, job, place, resume=True))
    split_off(job, replace(place, keep=True), resume=True)
    assert not shared.is_file()


@pytest.mark.slow
def test_a_seed_that_was_begun_alone_goes_on_alone(
    place: Place, noise_drawings: Drawings, packed_noise: Path, begin: Callable[..., Path]
) -> None:
    own = begin(1)
    tensors, header = load_checkpoint(own)
    save_checkpoint(own, tensors, header | {"seconds": 2e6})
    assert side_by_side(place, jobs()) == [("anml", (0, 2))]
    log = train(place, noise_drawings, packed_noise)
    assert "done: meta-train anml, seeds 0, 2\n" in log
    assert "done: meta-train anml, seed 1\n" in log
    seconds = [read_header(job.result(place))["seconds"] for job in jobs()]
    assert seconds == pytest.approx([0, 2e6, 0], rel=1e-3, abs=1e3)
