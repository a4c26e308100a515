"""Sizes, order, range and initial values of the two networks."""

from math import sqrt

import pytest
import torch
from reference_networks import networks, replicas
from torch import nn

from anml.adapt import ANML_FAST
from anml.gradients.adapt_oml import OML_FAST
from anml.gradients.first_block import patches
from anml.gradients.outer_pass import gate_forward
from anml.models import ANML, OML, anml_tower, kaiming_, oml_layers, oml_tower, reset, tower_blocks


def images(count: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.rand(
        count, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def size(model: nn.Module, prefixes: tuple[str, ...] = ("",)) -> int:
    return sum(p.numel() for n, p in model.named_parameters() if n.startswith(prefixes))


def test_parameter_counts_at_full_width() -> None:
    with torch.device("meta"):
        anml, oml = ANML(), OML()
    assert size(anml) == 6_041_800
    assert size(oml) == 6_338_280
    assert size(anml, ("nm.",)) == 1_120 + 2 * 113_008 + 3 * 224 + 1008 * 2304 + 2304
    # Plastic at meta-test: OML about 3 M weights, OML-OLFT about 1 M (spec, section 5).
    assert size(oml, ("hidden.", "head.")) == 2304 * 1024 + 1024 + 1024 * 1000 + 1000
    assert size(oml, ("head.",)) == 1_025_000


def test_fast_and_slow_parameters_are_the_papers() -> None:
    """ANML's inner loop moves every PLN weight and no NM weight, OML's only its linear layers."""
    with torch.device("meta"):
        anml, oml = ANML(), OML()
    slow = {n for n, _ in anml.named_parameters() if not n.startswith(ANML_FAST)}
    assert slow == {f"nm.{n}" for n, _ in anml.nm.named_parameters()}
    fast = {n for n, _ in oml.named_parameters() if n.startswith(OML_FAST)}
    assert fast == {"hidden.weight", "hidden.bias", "head.weight", "head.bias"}


@pytest.mark.parametrize(("pln", "nm"), [(256, 112), (3, 2)])
def test_latent_sizes(pln: int, nm: int) -> None:
    model = ANML(pln, nm).double()
    x = images(2)
    with torch.no_grad():
        assert model.latent(x).shape == model.nm(x).shape == model.gated(x).shape == (2, pln * 9)
        assert model(x).shape == (2, 1000)
        assert model.nm.tower(x).shape == (2, nm * 9)


def test_oml_sizes() -> None:
    model = OML(4, 6, 11).double()
    with torch.no_grad():
        assert model.representation(images(2)).shape == (2, 36)
        assert model(images(2)).shape == (2, 11)
    assert OML().hidden.in_features == 2304


@pytest.mark.parametrize("kind", ["anml", "oml"])
def test_equals_the_same_network_of_torchs_own_layers(kind: str) -> None:
    """Flattening (channel by channel, 3 x 3 each), norm, biases and pooling, in one go."""
    model, reference = networks(kind)
    x = images()
    with torch.no_grad():
        torch.testing.assert_close(model(x), reference(x), rtol=1e-12, atol=1e-12)
        if kind == "anml":
            torch.testing.assert_close(model.latent(x), reference.pln(x), rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(model.nm(x), reference.nm(x), rtol=1e-12, atol=1e-12)
            unflattened = reference.pln[:-1](x)
            assert unflattened.shape == (5, 3, 3, 3)
            torch.testing.assert_close(model.latent(x)[0, 9:18], unflattened[0, 1].flatten())
        else:
            torch.testing.assert_close(
                model.representation(x), reference.rln(x), rtol=1e-12, atol=1e-12
            )


def test_equals_torchs_own_layers_on_flat_drawings(noise_drawings) -> None:
    """Blank paper gives ties under the max-pool and images without any variance."""
    model, reference = networks("anml")
    x = torch.from_numpy(noise_drawings.images[0, :, None] / 255.0)
    x[0] = 0
    with torch.no_grad():
        torch.testing.assert_close(model(x), reference(x), rtol=1e-11, atol=1e-11)


def test_the_gate_lies_between_0_and_1() -> None:
    model, _ = networks("anml")
    with torch.no_grad():
        model.nm.gate.weight.mul_(1e3)  # far into both saturations
        gate = model.nm(images())
        assert gate.min() >= 0
        assert gate.max() <= 1
        assert gate.min() < 0.01
        assert gate.max() > 0.99
        torch.testing.assert_close(model.gated(images()), gate * model.latent(images()))


@pytest.mark.parametrize("kind", ["anml", "oml"])
def test_a_batch_gives_the_same_rows_as_one_image_at_a_time(kind: str) -> None:
    """Each image is normalised on its own."""
    model, _ = networks(kind)
    x = images(6)
    with torch.no_grad():
        alone = torch.cat([model(one[None]) for one in x])
        torch.testing.assert_close(model(x), alone, rtol=1e-13, atol=1e-13)


def test_replicas_equal_single_networks() -> None:
    anml = [networks("anml", seed)[0] for seed in range(3)]
    oml = [networks("oml", seed)[0] for seed in range(3)]
    x = torch.stack([images(4, seed)[:, 0] for seed in range(3)], 1)  # [B, R, 28, 28]
    both = replicas(anml), replicas(oml)
    latent = anml_tower(x, tower_blocks(both[0], "pln."))
    gate, _ = gate_forward(both[0], patches(x))
    representation = oml_tower(x, oml_layers(both[1]))
    with torch.no_grad():
        for r in range(3):
            own = x[:, r : r + 1]
            close = {"rtol": 1e-12, "atol": 1e-12}
            torch.testing.assert_close(latent[r], anml[r].latent(own), **close)
            torch.testing.assert_close(gate[r], anml[r].nm(own), **close)
            torch.testing.assert_close(representation[r], oml[r].representation(own), **close)


@pytest.mark.parametrize("build", [lambda: ANML(64, 28, 100), lambda: OML(32, 128, 100)])
def test_initial_values(build) -> None:
    model = reset(build(), torch.Generator().manual_seed(0))
    for name, p in model.named_parameters():
        if name.endswith("norm.weight"):
            assert (p == 1).all()
        elif p.dim() == 1:
            assert (p == 0).all()
        else:
            # Kaiming normal, fan-in, ReLU gain; five standard errors of mean and deviation.
            std, n = sqrt(2 / p[0].numel()), p.numel()
            assert abs(p.mean()) < 5 * std / sqrt(n), name
            assert abs(p.std() / std - 1) < 5 / sqrt(2 * n), name
            assert p.abs().max() > 1.8 * std, name  # normal, not uniform (which ends at 1.73)


def test_the_same_generator_gives_the_same_weights() -> None:
    first, second, other = (
        reset(OML(3, 6, 7), torch.Generator().manual_seed(seed)).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[n], second[n]) for n in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_kaiming_reaches_views_in_place() -> None:
    weight = torch.zeros(4, 50)
    assert kaiming_(weight) is weight
    assert weight.std() == pytest.approx(sqrt(2 / 50), rel=0.3)
