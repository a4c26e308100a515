"""The passes over the whole outer batch: towers and gate, forward and backward by hand.

`forward` is the same function as `models.anml_tower`. It is faster on a CPU since

- convolution and norm of the first block are one product, whose derivative skips the 26 x 26 maps;
- norm, pooling and ReLU take a few drawings at a time, which stay in the processor's cache;
- maps are position-major, so that pooling is vectorised, and convolutions take them as they are;
- those take fewer multiplications where networks are wide (`convolution`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anml.gradients import convolution, first_block, later_block
from anml.gradients.first_block import Patches
from anml.models import KERNEL, POOLED_SIDES, SIDES, tower_blocks

CACHED = 1 << 19
"""How many numbers of a map a CPU is given at a time: 2 MiB in float32."""

Block = tuple[Tensor, Tensor, Tensor]
"""Kernel [R, C, C_in, 3, 3], the norm's scale and shift [R, C]."""


@dataclass(frozen=True)
class TowerTrace:
    """What the backward pass needs. A list of blocks' traces is one of parts of the axis G."""

    blocks: Sequence[Block]
    first: list[first_block.Trace]
    later: list[list[later_block.Trace]]
    maps: list[Tensor]  # [R, G, P, C_in]: what the later blocks' convolutions took


def forward(drawings: Patches, blocks: Sequence[Block]) -> tuple[Tensor, TowerTrace]:
    """Latent [R, B, C * 9] of all drawings, at least 0, and the trace.

    `drawings`: [R, G, ...]; the norm runs over each of the `G` groups of drawings on its own.
    """
    (kernel, scale, shift), *later = blocks
    weights = (kernel.flatten(2).mT.unsqueeze(1), scale[:, None, None], shift[:, None, None])
    results = [
        first_block.forward(
            Patches(drawings.columns[:, part], drawings.covariance[:, part]), weights
        )
        for part in _parts(drawings.columns, kernel.shape[1])
    ]
    out, first = _joined(results)
    maps, traces = [], []
    for (kernel, scale, shift), side, pooled_side in zip(
        later, SIDES[1:], POOLED_SIDES[1:], strict=True
    ):
        maps.append(out)
        x = _convolve(out, kernel, side)
        affine = scale[:, None, None], shift[:, None, None]
        results = [
            later_block.forward(x[:, part], *affine, pooled_side)
            for part in _parts(x, kernel.shape[1])
        ]
        out, trace = _joined(results)
        traces.append(trace)
    cells = out.unflatten(2, (-1, SIDES[-1] ** 2)).flatten(1, 2)
    return cells.mT.flatten(2), TowerTrace(blocks, first, traces, maps)


def backward(latent_gradient: Tensor, trace: TowerTrace) -> list[Block]:
    """Gradients of the three blocks from that of the latent, [R, B, C * 9]."""
    u = latent_gradient.unflatten(2, (-1, SIDES[-1] ** 2)).mT.contiguous()
    gradients = []
    for index in reversed(range(len(trace.later))):
        maps, kernel = trace.maps[index], trace.blocks[index + 1][0]
        u = u.view(*maps.shape[:2], -1, kernel.shape[1])
        parts = [later_block.backward(*each) for each in _split(u, trace.later[index])]
        x = _cat([part.x for part in parts])
        u, kernel_gradient = _convolve_gradients(x, maps, kernel, SIDES[index + 1])
        affine = [part.scale for part in parts], [part.shift for part in parts]
        gradients.append((kernel_gradient, *(_cat(each).sum((1, 2)) for each in affine)))
    u = u.view(trace.maps[0].shape)
    parts = [first_block.backward(*each).weights for each in _split(u, trace.first)]
    kernel, *affine = (_cat(each).sum(1) for each in zip(*parts, strict=True))
    kernel = kernel.mT.unflatten(2, (1, KERNEL, KERNEL))
    gradients.append((kernel, *(each.squeeze(1) for each in affine)))
    return gradients[::-1]


def _parts(maps: Tensor, channels: int) -> Iterator[slice]:
    """Slices of the axis G of `maps` [R, G, P, ...] that a CPU's cache holds; on a GPU, one."""
    replicas, groups, positions = maps.shape[:3]
    step = groups if maps.is_cuda else max(1, CACHED // (replicas * positions * channels))
    return (slice(start, start + step) for start in range(0, groups, step))


def _joined(results: Sequence[tuple[Tensor, object]]) -> tuple[Tensor, list]:
    """Outputs of the parts as one, and the list of their traces."""
    outputs, traces = zip(*results, strict=True)
    return _cat(outputs), list(traces)


def _cat(parts: Sequence[Tensor]) -> Tensor:
    """Parts of the axis G as one."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _split(u: Tensor, traces: Sequence) -> Iterator[tuple[Tensor, object]]:
    """Each part's share of `u` with its trace."""
    return zip(u.split([trace.kept.shape[1] for trace in traces], 1), traces, strict=True)


def _convolve(maps: Tensor, kernel: Tensor, side: int) -> Tensor:
    """Response [R, G, P, C] of `maps` to `kernel` [R, C, C_in, 3, 3]; `side`: of the response."""
    each = zip(_grids(maps, side + KERNEL - 1), kernel, strict=True)
    return _maps([convolution.convolve(*one) for one in each], maps.shape[1])


def _convolve_gradients(
    u: Tensor, maps: Tensor, kernel: Tensor, side: int
) -> tuple[Tensor, Tensor]:
    """Gradients of the maps and of the kernel from `u` [R, G, P, C], the response's gradient."""
    each = zip(_grids(u, side), _grids(maps, side + KERNEL - 1), kernel, strict=True)
    grids, kernels = zip(*(convolution.gradients(*one) for one in each), strict=True)
    return _maps(grids, maps.shape[1]), torch.stack(kernels)


def _grids(maps: Tensor, side: int) -> list[Tensor]:
    """Maps [R, G, P, C] as a batch [B, side, side, C] for each replica, without copying."""
    return [one.reshape(-1, side, side, maps.shape[3]) for one in maps]


def _maps(grids: Sequence[Tensor], groups: int) -> Tensor:
    """The reverse of `_grids`: [R, G, P, C]."""
    maps = [one.reshape(groups, -1, one.shape[3]) for one in grids]
    return maps[0].unsqueeze(0) if len(maps) == 1 else torch.stack(maps)


# --- the neuromodulatory network: a tower, a linear layer and a sigmoid


@dataclass(frozen=True)
class GateTrace:
    """What the gate's backward pass needs."""

    tower: TowerTrace
    features: Tensor  # [R, B, C * 9] the tower's latent
    weight: Tensor  # [R, D, C * 9]
    gate: Tensor  # [R, B, D]


def gate_forward(parameters: Mapping[str, Tensor], drawings: Patches) -> tuple[Tensor, GateTrace]:
    """NM's gate [R, B, D] in [0, 1], and the trace; `parameters` [R, ...] named 'nm.…'."""
    features, tower = forward(drawings, tower_blocks(parameters, "nm.tower."))
    weight, bias = parameters["nm.gate.weight"], parameters["nm.gate.bias"]
    gate = torch.baddbmm(bias.unsqueeze(1), features, weight.mT).sigmoid_()
    return gate, GateTrace(tower, features, weight, gate)


def gate_backward(gate_gradient: Tensor, trace: GateTrace) -> dict[str, Tensor]:
    """Gradients of NM's parameters from that of the gate, [R, B, D]."""
    u = torch.ops.aten.sigmoid_backward(gate_gradient, trace.gate)
    gradients = named_blocks(backward(u @ trace.weight, trace.tower), "nm.tower.")
    return gradients | {"nm.gate.weight": u.mT @ trace.features, "nm.gate.bias": u.sum(1)}


def named_blocks(blocks: Sequence[Block], prefix: str) -> dict[str, Tensor]:
    """The reverse of `models.tower_blocks`."""
    parts = ("conv.weight", "norm.weight", "norm.bias")
    return {
        f"{prefix}blocks.{index}.{part}": tensor
        for index, block in enumerate(blocks)
        for part, tensor in zip(parts, block, strict=True)
    }
