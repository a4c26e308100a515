"""The scale of pixels: what a meta-training is shown, and models that take ink again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from refusal import refusal
from training_runs import assert_equal_bits, train

from anml.data import Drawings, as_input
from anml.drawings.pixels import INK, PIXELS, find_pixels, take_ink
from anml.meta_train import load_model, meta_train
from anml.meta_training.training_job import Job, build_model
from anml.models import ANML, OML, OMLLinear, reset
from anml.store.checkpoint import load_checkpoint
from anml.treatments import TRAININGS

DOUBLE = torch.float64
SCALES = pytest.mark.parametrize("name", PIXELS)


@pytest.fixture
def shown(noise_drawings: Drawings) -> torch.Tensor:
    """Eight drawings as shares of ink, float64 [8, 1, 28, 28]."""
    return as_input(noise_drawings.images[:4, :2].reshape(8, 28, 28)).double()


def test_the_released_scale_is_that_of_its_code() -> None:
    """Grey values 0 to 255, less 0.92206 * 256, over 0.08426 * 256 * 256."""
    grey = np.array([255.0, 128.0, 0.0])
    code = (grey - 0.92206 * 256) / (0.08426 * 256 * 256)
    ink = torch.from_numpy(1 - grey / 255)
    np.testing.assert_allclose(find_pixels("as released").encoded(ink), code, rtol=1e-12)
    np.testing.assert_allclose(code[[0, 2]], [0.0034, -0.0427], atol=5e-5)


def test_ink_stays_to_the_bit(shown: torch.Tensor) -> None:
    assert torch.equal(find_pixels(INK).encoded(shown.float()), shown.float())


@SCALES
def test_blank_and_ink_are_the_ends(name: str) -> None:
    scale = find_pixels(name)
    ends = scale.encoded(torch.tensor([0.0, 1.0], dtype=DOUBLE)).tolist()
    assert ends == pytest.approx([scale.blank, scale.ink], rel=1e-12)


def test_an_unknown_scale_lists_the_known_ones() -> None:
    message = refusal(lambda: find_pixels("grey"))
    assert all(name in message for name in ("grey", *PIXELS))


@SCALES
@pytest.mark.parametrize("network", [OML, OMLLinear])
def test_a_model_that_takes_ink_gives_what_it_gave(
    name: str, network: Callable[..., OML], shown: torch.Tensor
) -> None:
    generator = torch.Generator().manual_seed(0)
    model = reset(network(3, outputs=7), generator).double()
    with torch.no_grad():
        model.rln[0].bias.normal_(generator=generator)
        before = model(find_pixels(name).encoded(shown))
        take_ink(model, find_pixels(name))
        torch.testing.assert_close(model(shown), before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", ["oml-released-pixels", "oml-white-paper"])
def test_another_scale_is_met_in_meta_training_and_nowhere_else(
    training: str, job: Callable[..., Job], shown: torch.Tensor
) -> None:
    one = job(training)
    (path,) = meta_train(one, progress=False)
    tensors, _ = load_checkpoint(path)
    assert not torch.equal(tensors["rln.0.weight"], train(job("oml"))[0]["rln.0.weight"])
    raw = build_model("oml", one.profile)
    raw.load_state_dict({name: tensors[name] for name in raw.state_dict()})
    model = load_model(path, "oml", one.profile)
    images = shown.float()
    scale = find_pixels(TRAININGS[training].pixels)
    torch.testing.assert_close(model(images), raw(scale.encoded(images)), rtol=1e-4, atol=1e-5)


def test_ink_gives_the_same_model_as_ever(job: Callable[..., Job]) -> None:
    one = job("oml")
    (path,) = meta_train(one, progress=False)
    tensors, _ = load_checkpoint(path)
    model = load_model(path, "oml", one.profile)
    assert_equal_bits(dict(model.state_dict()), {k: tensors[k] for k in model.state_dict()})


@pytest.mark.parametrize("name", [name for name in PIXELS if name != INK])
def test_anml_hardly_tells_scales_apart(name: str, shown: torch.Tensor) -> None:
    """Its norm takes the shift away, and the scale but for its epsilon; the sign is one of weights
    that are drawn as likely as their negatives.
    """
    model = reset(ANML(8, 4), torch.Generator().manual_seed(0)).double()
    scale = find_pixels(name)
    with torch.no_grad():
        before = model.latent(shown)
        if scale.ink < scale.blank:
            model.pln.blocks[0].conv.weight.neg_()
        gap = (model.latent(scale.encoded(shown)) - before).abs().max()
    assert 0 < gap < 0.02 * before.max()
