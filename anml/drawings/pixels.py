"""What a drawing's pixels are in numbers: the paper does not say, and released codes differ.

Everywhere in this package a pixel is its share of ink, in [0, 1]. A meta-training may be shown
other numbers; the model that comes out of it is then turned into one that takes ink, so that
nothing that reads a model has to know what it was meta-trained on.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from anml.errors import AnmlError
from anml.models import OML


@dataclass(frozen=True)
class Pixels:
    """The two ends of a scale; what lies between them is linear in the share of ink."""

    blank: float  # of a pixel without ink
    ink: float  # of a pixel that is all ink

    def encoded(self, images: Tensor) -> Tensor:
        """Images float [...] of shares of ink in [0, 1] on this scale."""
        return images * (self.ink - self.blank) + self.blank


# The released code (datasets/omniglot.py) takes a mean from grey values, 0 for ink to 255, and
# divides by a deviation. Both are those of grey values in [0, 1], which it makes larger to fit: the
# mean 256 times, the deviation 256 times twice.
_MEAN, _DEVIATION = 0.92206 * 256, 0.08426 * 256 * 256
INK = "ink"
# By the names in `anml.treatments.OPTIONS`, where no other gets into a row: tests compare them.
PIXELS = {
    INK: Pixels(0.0, 1.0),
    "white paper": Pixels(1.0, 0.0),
    "as released": Pixels((255 - _MEAN) / _DEVIATION, -_MEAN / _DEVIATION),
}
"""Scales by name: the share of ink, as here; grey values as they are stored, 1 for white paper, as
in OML's own code and in the higherANML replication; and the released code's, 0.003 and -0.043."""


def find_pixels(name: str) -> Pixels:
    """The scale called `name`; AnmlError lists the known ones."""
    if name not in PIXELS:
        raise AnmlError(f"unknown scale of pixels {name!r}: choose one of {', '.join(PIXELS)}")
    return PIXELS[name]


def take_ink(model: OML, scale: Pixels) -> None:
    """Change, in place, a model that was meta-trained on `scale` into one that takes ink.

    Its first convolution has a bias and no padding, so that it takes the change of scale exactly:
    `W * (a x + b) + c = (a W) * x + (c + b sum(W))`.
    """
    first = model.rln[0]
    with torch.no_grad():
        first.bias += scale.blank * first.weight.sum((1, 2, 3))
        first.weight *= scale.ink - scale.blank
