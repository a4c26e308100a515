"""Shared by all tests: one thread, small made-up drawings and no others, a tiny profile."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omniglot_pictures import write_pictures
from small_drawings import BACKGROUND, EVALUATION
from tiny_profile import TINY

from anml import data
from anml.drawings.packed import SPLITS, Drawings, from_arrays
from anml.gradients import winograd
from anml.meta_train import Job
from anml.profiles import Profile, find_profile
from anml.treatments import find_training


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The networks of the tests are too small to share out, and the machine may be busy."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _denormals() -> Iterator[None]:
    """A command that a test runs in its own process has it flush them, which hypothesis refuses."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module", params=["torch", "winograd"])
def _both_convolutions(request: pytest.FixtureRequest) -> Iterator[None]:
    """All the module's tests with either way of the outer passes' convolutions, at any width.

    As it is, the tests' narrow networks would meet one of them alone.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "worth", lambda channels, side: request.param == "winograd")
        yield


@pytest.fixture(scope="session")
def noise_drawings() -> Drawings:
    """All 1,623 classes: a coarse random pattern each, its drawings with a speckle of their own.

    Flat background like real drawings, easy to tell apart, made in a fraction of a second.
    """
    rng = np.random.default_rng(0)
    classes = sum(SPLITS.values())
    patterns = (rng.random((classes, 1, 7, 7)) < 0.2).astype(np.uint8) * 200
    images = patterns.repeat(4, 2).repeat(4, 3).repeat(20, 1)
    images[rng.random(images.shape) < 0.02] = 255
    arrays = {
        "images": images,
        "character_id": np.arange(1, classes + 1, dtype=np.int32),
        "alphabet": np.repeat(["Noise"], classes),
        "character": np.array([f"character{i:04d}" for i in range(classes)]),
        "split": np.repeat(list(SPLITS), list(SPLITS.values())),
    }
    return from_arrays(arrays, "omniglot", "the tests' drawings")


@pytest.fixture(scope="session")
def few(noise_drawings: Drawings) -> Drawings:
    """`noise_drawings` with all background classes and 24 evaluation classes, for quick probes."""
    kept = slice(0, SPLITS["background"] + 24)
    names = ("images", "character_id", "alphabet", "character", "split")
    return replace(noise_drawings, **{name: getattr(noise_drawings, name)[kept] for name in names})


@pytest.fixture(scope="session")
def packed_noise(noise_drawings: Drawings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`noise_drawings` as a packed file, for processes of their own."""
    path = tmp_path_factory.mktemp("packed") / "noise.npz"
    names = ("images", "character_id", "alphabet", "character", "split")
    np.savez(path, **{name: getattr(noise_drawings, name) for name in names})
    return path


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data but the test's own: no ANML_DATA, and an empty cache."""
    monkeypatch.delenv("ANML_DATA", raising=False)
    monkeypatch.setenv("ANML_CACHE", str(tmp_path / "cache"))
    data._say_once.cache_clear()


@pytest.fixture
def few_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set of 3 + 2 classes in place of 964 + 659."""
    monkeypatch.setitem(SPLITS, "background", BACKGROUND)
    monkeypatch.setitem(SPLITS, "evaluation", EVALUATION)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with those few classes as pictures."""
    write_pictures(tmp_path / "pictures")
    return tmp_path / "pictures"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("something was asked of the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def tiny() -> Profile:
    return find_profile("smoke", TINY)


@pytest.fixture
def job(tiny: Profile, noise_drawings: Drawings, tmp_path: Path) -> Callable[..., Job]:
    """A tiny meta-training: `job(training, seeds, folder=..., dtype=..., profile values ...)`."""

    def make(training: str = "anml", seeds: tuple[int, ...] = (0,), **changes: object) -> Job:
        own = {k: changes.pop(k) for k in ("folder", "dtype") if k in changes}
        folder = own.pop("folder", tmp_path / "run")
        profile = replace(tiny, **changes)
        return Job(find_training(training), profile, noise_drawings, seeds, folder, **own)

    return make
