"""The linear layer that keeps its SGD steps as vectors, against the matrix written out."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_tensors import normal
from torch import Tensor

from anml.gradients.low_rank import LowRankLinear

R, OUT, D, B = 2, 5, 4, 3


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(steps=st.integers(0, 6), rate=st.floats(0.001, 1.0), seed=st.integers(0, 1000))
def test_equals_the_matrix_after_any_number_of_steps(steps: int, rate: float, seed: int) -> None:
    weight, bias = normal(R, OUT, D, seed=seed), normal(R, OUT, seed=seed + 1)
    layer = LowRankLinear.dense(weight, bias)
    for k in range(steps):
        error, x = normal(R, OUT, seed=seed + 2 + k), normal(R, D, seed=seed + 50 + k)
        weight = weight - rate * error[:, :, None] * x[:, None, :]
        bias = bias - rate * error
        layer = layer.sgd_step(error, x, rate)
    inputs, errors = normal(R, B, D, seed=seed + 99), normal(R, B, OUT, seed=seed + 98)
    close(layer.dense_weight(), weight)
    close(layer.linear(inputs), inputs @ weight.mT)
    close(layer(inputs), inputs @ weight.mT + bias[:, None])
    close(layer.transpose(errors), errors @ weight)


def test_a_step_leaves_the_layer_before_it_as_it_was() -> None:
    layer = LowRankLinear.dense(normal(R, OUT, D), normal(R, OUT))
    before = layer.dense_weight().clone(), layer.bias.clone()
    layer.sgd_step(normal(R, OUT), normal(R, D), 0.1)
    assert torch.equal(layer.dense_weight(), before[0])
    assert torch.equal(layer.bias, before[1])


def test_without_a_matrix_it_is_the_sum_of_its_products() -> None:
    """How directions in weight space are kept: [R, n, OUT] and [R, n, D], nothing larger."""
    left, right, x = normal(R, 6, OUT), normal(R, 6, D, seed=1), normal(R, B, D, seed=2)
    layer = LowRankLinear(normal(R, OUT), left, right)
    product = torch.einsum("rno,rnd->rod", left, right)
    close(layer.dense_weight(), product)
    close(layer.linear(x), x @ product.mT)
    close(layer.plus(left, right, layer.bias).dense_weight(), 2 * product)
    close(layer.plus(left, right, layer.bias).bias, 2 * layer.bias)


def test_room_for_successors_changes_no_number() -> None:
    """Rows written behind a layer's own are none of its business; beyond the room they are none."""
    plain = LowRankLinear.dense(normal(R, OUT, D), normal(R, OUT))
    roomy = plain.with_room(2)
    layers = [roomy]
    for k in range(2):
        error, x = normal(R, OUT, seed=k), normal(R, D, seed=50 + k)
        plain, roomy = plain.sgd_step(error, x, 0.1), roomy.sgd_step(error, x, 0.1)
        layers.append(roomy)
        assert torch.equal(roomy.left, plain.left)
        assert torch.equal(roomy.right, plain.right)
        assert torch.equal(roomy.bias, plain.bias)
    assert [layer.left.shape[1] for layer in layers] == [0, 1, 2]
    assert layers[1].right.data_ptr() == layers[2].right.data_ptr()
    x, one = normal(R, B, D, seed=9), normal(R, 1, D, seed=9)
    close(roomy(x), plain(x))
    close(roomy(one), one @ plain.dense_weight().mT + plain.bias[:, None])
