"""The outer step of Algorithm 1, as work on tensors of one device alone.

Nothing in a meta-iteration waits for the host: what it draws at random lies ready on the device for
several iterations, it finds its place among them by a counter that is a tensor too, and its row of
the log stays on the device until somebody reads it. So the iteration is the same sequence of
operations every time, and on a GPU it is captured once and replayed (`anml.meta_training.graphed`).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from anml.adapt import Episode, MetaGradient, anml_meta_gradient
from anml.drawings.pixels import find_pixels
from anml.gradients.adapt_oml import oml_linear_meta_gradient, oml_meta_gradient
from anml.gradients.supervised import supervised_gradient
from anml.meta_training.episodes import Drawn, draw_ahead, draw_batch, draw_episode, gather
from anml.meta_training.graphed import graphed
from anml.meta_training.training_job import Job, rates
from anml.store.tables import LOG_METRICS
from anml.treatments import NETWORKS

State = dict[str, Tensor]

AHEAD_ON_GPU = 50
"""Meta-iterations between two looks at the log on a GPU."""

GRADIENTS: dict[str, Callable[..., MetaGradient]] = {
    "anml": anml_meta_gradient,
    "oml": oml_meta_gradient,
    "oml-linear": oml_linear_meta_gradient,
}


def new_optimizer(job: Job, state: State) -> torch.optim.Adam:
    """Adam at the outer rate, its moments in place: a captured step cannot make them.

    The first kernels are a group of their own: they stand for one for each channel, all of which
    make Adam's step.
    """
    training = job.training
    _, rate = rates(training, job.profile)
    first = NETWORKS[training.network].first
    groups = [
        {"params": [state[name] for name in state if name not in first]},
        {"params": [state[name] for name in first], "lr": rate * training.channels},
    ]
    optimizer = torch.optim.Adam(groups, lr=rate, fused=True, capturable=on_gpu(job.device))
    for parameter in state.values():
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        }
    return optimizer


def outer_step(
    job: Job, state: State, optimizer: torch.optim.Optimizer, images: Tensor, drawn: Drawn
) -> Tensor:
    """One meta-iteration: changes `state` and `optimizer`, returns its log row float64 [R, 3].

    `state`: parameters [R, ...]; `images` uint8 [C, 20, 28, 28]; `drawn` [R, ...]; one device.
    """
    profile = job.profile
    shown = find_pixels(job.training.pixels).encoded(gather(images, drawn, job.dtype))
    episode = Episode(shown, drawn.classes, profile.inner_steps)
    if job.supervised:
        result = supervised_gradient(state, episode.images, episode.classes)
        learned = result.correct
    else:
        result = redrawn_gradient(job, state, episode, drawn.row)
        learned = result.correct[:, : profile.inner_steps]
    for name, parameter in state.items():
        # Fused Adam walks memory: a gradient laid out otherwise would reach the wrong weights.
        parameter.grad = result.gradients[name].contiguous()
    optimizer.step()
    remembered = result.correct[:, -profile.remember :]
    row = (result.loss, learned.double().mean(1), remembered.double().mean(1))
    return torch.stack([value.double() for value in row], 1)


def redrawn_gradient(job: Job, state: State, episode: Episode, rows: Tensor) -> MetaGradient:
    """The meta-gradient of an episode whose class starts with a new head row, `rows` [R, D]."""
    head = state["head.weight"].detach()
    learned = episode.classes[:, :1, None].expand(-1, -1, head.shape[2])
    before = head.gather(1, learned)
    head.scatter_(1, learned, rows.unsqueeze(1))
    inner_rate, _ = rates(job.training, job.profile)
    training = job.training
    # OML's inner loop moves no convolution, and has no norm.
    options = {name: getattr(training, name) for name in NETWORKS[training.network].inner}
    gradient = GRADIENTS[training.network]
    result = gradient(state, episode, inner_rate, training.second_order, **options)
    if job.training.redraw == "copy":
        # The row is drawn anew in the inner loop's copy only: the meta-parameter had no part in it.
        head.scatter_(1, learned, before)
        result.gradients["head.weight"].scatter_(1, learned, 0.0)
    return result


def on_gpu(device: str) -> bool:
    """Whether a device, such as 'cuda:0', is a GPU."""
    return torch.device(device).type == "cuda"


def iterations_ahead(device: str) -> int:
    """Meta-iterations between two looks at the log: one on a CPU, where a look is free."""
    return AHEAD_ON_GPU if on_gpu(device) else 1


class OuterLoop:
    """Runs a job's meta-iterations in order, `ahead` of them between two looks at the log."""

    def __init__(
        self,
        job: Job,
        state: State,
        optimizer: torch.optim.Optimizer,
        start: int = 0,
        ahead: int | None = None,
    ) -> None:
        """Put the drawings on the device and capture the iteration there.

        `state` and `optimizer` are changed in place; `start`: the first iteration to run; `ahead`:
        `iterations_ahead` unless told otherwise.
        """
        self.done = start
        self._job, self._state, self._optimizer = job, state, optimizer
        self._on_gpu = on_gpu(job.device)
        self._images = torch.from_numpy(job.drawings.meta_train).to(job.device)
        ahead = ahead or iterations_ahead(job.device)
        drawn = draw_ahead(self._draw(), job.seeds, range(ahead), job.dtype)
        # These stay where they are: what is replayed knows them by their address.
        self._drawn = Drawn(*(tensor.to(job.device) for tensor in drawn))
        self._position = torch.zeros(1, dtype=torch.int64, device=job.device)
        self._rows = torch.zeros(
            *(ahead, len(job.seeds), len(LOG_METRICS)), dtype=torch.float64, device=job.device
        )
        moments = [t for p in state.values() for t in optimizer.state[p].values()]
        changed = [*state.values(), *moments, self._position, self._rows]
        self._iterate = graphed(self._iteration, changed)
        self._next = self._draw_next(start)

    def run(self) -> Tensor:
        """Run the next iterations; their log rows, float64 [n, R, 3] on the host, n >= 1."""
        fresh = self._next
        count = len(fresh.classes)
        for own, new in zip(self._drawn, fresh, strict=True):
            own[:count].copy_(new, non_blocking=True)
        self._position.zero_()
        for _ in range(count):
            self._iterate()
        self.done += count
        self._next = self._draw_next(self.done)  # while the GPU is at work
        return self._rows[:count].to("cpu", copy=True)

    def _iteration(self) -> None:
        """One meta-iteration at the device's own counter."""
        drawn = Drawn(*(t.index_select(0, self._position).squeeze(0) for t in self._drawn))
        row = outer_step(self._job, self._state, self._optimizer, self._images, drawn)
        self._rows.index_copy_(0, self._position, row.unsqueeze(0))
        self._position.add_(1).remainder_(len(self._rows))

    def _draw(self) -> Callable[[int, int], Drawn]:
        """How the job's training draws for a seed and an iteration."""
        profile, counts = self._job.profile, tuple(self._images.shape[:2])
        if self._job.supervised:
            return partial(draw_batch, counts, size=profile.inner_steps + profile.remember)
        return partial(
            draw_episode,
            counts,
            inner_steps=profile.inner_steps,
            remember=profile.remember,
            row_inputs=self._state["head.weight"].shape[2],
        )

    def _draw_next(self, first: int) -> Drawn | None:
        """Draw for as many iterations from `first` as fit and are wanted; None at the end."""
        last = min(first + len(self._rows), self._job.iterations)
        if first >= last:
            return None
        drawn = draw_ahead(self._draw(), self._job.seeds, range(first, last), self._job.dtype)
        return Drawn(*(t.pin_memory() for t in drawn)) if self._on_gpu else drawn
