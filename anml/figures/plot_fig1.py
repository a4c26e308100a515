"""Figure 1: the architecture, drawn from the layers that a real network ran through."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from torch import nn

from anml.adapt import ANML_FAST
from anml.figures.plot_style import INK, MUTED, style
from anml.figures.trace import IMAGE_SHAPE, Layer, anml_layers, in_words
from anml.treatments import TREATMENTS

NAME = "fig1_architecture"
PARTS = {
    "NM": ("#D55E00", "Neuromodulatory network (NM)"),
    "PLN": ("#0072B2", "Prediction learning network (PLN)"),
}
HEAD = "#0072B2"  # the head is a layer of the PLN
NM_Y, PLN_Y, MID_Y = 1.75, -1.75, 0.0
LAYER_X = (2.05, 3.85, 5.5, 7.0)  # of three blocks and a linear layer
VECTOR_X, PRODUCT_X, GATED_X, OUTPUT_X = 8.25, 9.45, 10.3, 12.2


@dataclass(frozen=True)
class Role:
    """When some of the weights learn: `prefixes` of their names, and how that is said and drawn."""

    text: str
    prefixes: tuple[str, ...]
    colour: str
    marker: str

    def learns(self, layer: Layer) -> bool:
        """Whether all of the layer's weights have this role."""
        return all(name.startswith(self.prefixes) for name in layer.parameters)


# Paper, Algorithms 1 and 2: the inner loop moves the PLN, the outer loop learns every initial
# weight, and only the head learns at meta-test.
ROLES = (
    Role("inner loop moves it (meta-train training)", ANML_FAST, "#009E73", "s"),
    Role("outer loop learns its initial value (meta-train testing)", ("",), INK, "o"),
    Role("learns at meta-test (meta-test training)", TREATMENTS["ANML"].plastic, "#CC79A7", "D"),
)


def fig1(model: nn.Module) -> Figure:
    """Draw an ANML network: both towers, the gate, the product, the head, and what learns when.

    `model` is `anml.models.ANML` or anything that `anml.figures.trace.anml_layers` can follow.
    """
    layers = anml_layers(model)
    parts = {part: [x for x in layers if x.part == part] for part in ("NM", "PLN", "head")}
    with style():
        figure = Figure(figsize=(10.5, 5.86))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-0.6, 12.75), ylim=(-4.3, 3.3), aspect="equal")
        axes.axis("off")
        _image(axes, 0.0, MID_Y)
        for part, y in (("NM", NM_Y), ("PLN", PLN_Y)):
            _tower(axes, parts[part], y)
        _product(axes, parts["PLN"][-1], parts["head"][0])
        _legend(axes, layers)
    return figure


def tint(colour: str, share: float) -> tuple[float, ...]:
    """Return `colour` mixed with white; `share` 0 is white, 1 the colour itself."""
    return tuple(1 - share * (1 - value) for value in to_rgb(colour))


def _image(axes: Axes, x: float, y: float) -> None:
    """Draw the input: a sheet with a made-up stroke, not a drawing of any data set."""
    axes.add_patch(Rectangle((x - 0.42, y - 0.42), 0.84, 0.84, facecolor="white", edgecolor=INK))
    stroke = {"color": INK, "linewidth": 2.2, "solid_capstyle": "round"}
    axes.plot([x - 0.2, x - 0.2, x + 0.22], [y + 0.24, y - 0.18, y - 0.18], **stroke)
    axes.plot([x - 0.04, x + 0.2, x + 0.08], [y + 0.2, y + 0.1, y - 0.02], **stroke)
    axes.text(x, y - 0.58, f"image\n{in_words(IMAGE_SHAPE)}", ha="center", va="top", fontsize=9)
    for target in (NM_Y, PLN_Y):
        side = 1 if target > y else -1
        _arrow(axes, (x, y + side * (0.5 if side > 0 else 1.08)), (1.05, target), bend=side)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: int = 0) -> None:
    """Draw an arrow; `bend` 1 or -1 leaves upwards or downwards and turns to the right."""
    turn = f"angle,angleA={90 * bend},angleB=0,rad=9" if bend else "arc3"
    axes.add_patch(
        FancyArrowPatch(
            *(start, end),
            connectionstyle=turn,
            arrowstyle="-|>",
            mutation_scale=11,
            linewidth=1.3,
            color=MUTED,
            shrinkA=0,
            shrinkB=0,
        )
    )


def _tower(axes: Axes, layers: list[Layer], y: float) -> None:
    """Draw one tower on its panel: a block a layer, then the vector of its units."""
    colour, title = PARTS[layers[0].part]
    frame = (1.05, y - 1.5), VECTOR_X - 0.3, 2.98
    axes.add_patch(
        FancyBboxPatch(
            *frame,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=tint(colour, 0.06),
            edgecolor=tint(colour, 0.45),
            linewidth=1,
        )
    )
    count = f"{sum(layer.count for layer in layers):,} parameters"
    axes.text(1.2, y + 1.3, title, fontweight="bold", color=colour, fontsize=10.5, va="center")
    axes.text(VECTOR_X + 0.6, y + 1.3, count, color=MUTED, fontsize=9, va="center", ha="right")
    blocks = [layer for layer in layers if len(layer.shape) == 3]
    linear = [layer for layer in layers if len(layer.shape) == 1]
    right = 1.05
    for layer, x in zip(blocks, LAYER_X, strict=False):
        left, end = _block(axes, layer, x, y, colour)
        _arrow(axes, (right + 0.04, y), (left - 0.06, y))
        right = end
    _arrow(axes, (right + 0.04, y), (VECTOR_X - 0.16, y))
    for layer in linear:
        _words(axes, layer, LAYER_X[3], y, shape=False)
    if not linear:
        axes.text(LAYER_X[3], y + 0.1, "flatten", ha="center", va="bottom", fontsize=8.5)
    name = "gate, 0 to 1" if linear else "latent"
    _vector(axes, VECTOR_X, y, colour, name, prod((linear or blocks)[-1].shape))


def _block(axes: Axes, layer: Layer, x: float, y: float, colour: str) -> tuple[float, float]:
    """Draw feature maps as a box: as tall as they are, as thick as their channels are many.

    Returns where it begins and ends, in x.
    """
    channels, height, width = layer.shape
    thick, tall = 0.1 + 0.11 * channels**0.33, 0.16 + 0.042 * height
    deep = 0.1 + 0.018 * width
    left, low = x - thick / 2 - deep / 2, y - tall / 2 - deep / 4
    shift = (deep, deep / 2)
    edge = {"edgecolor": colour, "linewidth": 0.9, "joinstyle": "round"}
    top = [(left, low + tall), (left + thick, low + tall)]
    side = [(left + thick, low + tall), (left + thick, low)]
    for (a, b), share in ((top, 0.16), (side, 0.5)):
        moved = [(p[0] + shift[0], p[1] + shift[1]) for p in (b, a)]
        axes.add_patch(Polygon([a, b, *moved], facecolor=tint(colour, share), **edge))
    axes.add_patch(Rectangle((left, low), thick, tall, facecolor=tint(colour, 0.3), **edge))
    _words(axes, layer, x, y, shape=True)
    return left, left + thick + deep


def _words(axes: Axes, layer: Layer, x: float, y: float, *, shape: bool) -> None:
    """Write a layer's operations above it; its output, parameters and roles below."""
    lines = "\n".join(_pairs(layer.operations))
    axes.text(x, y + 0.55, lines, ha="center", va="bottom", fontsize=8.5, linespacing=1.25)
    below = y - 0.54
    centred = {"ha": "center", "va": "top"}
    if shape:
        axes.text(x, below, layer.size, fontsize=9, fontweight="bold", **centred)
    axes.text(x, below - 0.21, f"{layer.count:,}", fontsize=8.5, color=MUTED, **centred)
    code = {"fontsize": 7, "family": "DejaVu Sans Mono", "color": MUTED}
    axes.text(x, below - 0.41, layer.name, **code, **centred)
    _roles(axes, layer, x, below - 0.71)


def _pairs(words: tuple[str, ...]) -> list[str]:
    """Return words two a line."""
    return [", ".join(words[i : i + 2]) for i in range(0, len(words), 2)]


def _roles(axes: Axes, layer: Layer, x: float, y: float) -> None:
    """Draw the marks of what learns when, side by side."""
    roles = [role for role in ROLES if role.learns(layer)]
    for place, role in enumerate(roles):
        _mark(axes, role, x + 0.19 * (place - (len(roles) - 1) / 2), y)


def _mark(axes: Axes, role: Role, x: float, y: float) -> None:
    axes.plot([x], [y], marker=role.marker, color=role.colour, markersize=5.5, linestyle="none")


def _vector(axes: Axes, x: float, y: float, colour: str, name: str, size: int) -> None:
    """Draw a vector of units as a column of cells."""
    cells, height, width = 8, 1.12, 0.2
    for cell in range(cells):
        corner = (x - width / 2, y - height / 2 + cell * height / cells)
        share = (0.55, 0.2, 0.4, 0.1, 0.5, 0.3, 0.15, 0.45)[cell]  # a pattern, no measurement
        axes.add_patch(
            Rectangle(
                *(corner, width, height / cells),
                facecolor=tint(colour, share),
                edgecolor=colour,
                linewidth=0.8,
            )
        )
    axes.text(x, y - 0.66, name, ha="center", va="top", fontsize=8.5)
    axes.text(x, y - 0.87, str(size), ha="center", va="top", fontsize=9, fontweight="bold")


def _product(axes: Axes, latent: Layer, head: Layer) -> None:
    """Draw the elementwise product of gate and latent, and the head."""
    radius = 0.2
    for y, side in ((NM_Y, 1), (PLN_Y, -1)):
        path = [VECTOR_X + 0.14, PRODUCT_X, PRODUCT_X], [y, y, MID_Y + side * 0.5]
        axes.plot(*path, color=MUTED, linewidth=1.3, solid_joinstyle="round")
        _arrow(axes, (PRODUCT_X, MID_Y + side * 0.52), (PRODUCT_X, MID_Y + side * (radius + 0.04)))
    axes.add_patch(Circle((PRODUCT_X, MID_Y), radius, facecolor="white", edgecolor=INK, lw=1.4))
    axes.add_patch(Circle((PRODUCT_X, MID_Y), 0.045, facecolor=INK, edgecolor="none"))
    axes.text(
        *(PRODUCT_X - 0.3, MID_Y),
        "element by\nelement",
        ha="right",
        va="center",
        fontsize=8.5,
        linespacing=1.25,
    )
    _arrow(axes, (PRODUCT_X + radius + 0.04, MID_Y), (GATED_X - 0.16, MID_Y))
    _vector(axes, GATED_X, MID_Y, HEAD, "gated latent", prod(latent.shape))
    _arrow(axes, (GATED_X + 0.14, MID_Y), (OUTPUT_X - 0.16, MID_Y))
    middle = (GATED_X + OUTPUT_X) / 2
    axes.text(middle, MID_Y + 0.3, "PLN's head", ha="center", fontweight="bold", color=HEAD)
    axes.text(middle, MID_Y + 0.09, ", ".join(head.operations), ha="center", fontsize=8.5)
    axes.text(
        middle, MID_Y - 0.12, f"{head.count:,}", ha="center", va="top", fontsize=8.5, color=MUTED
    )
    _roles(axes, head, middle, MID_Y - 0.47)
    _vector(axes, OUTPUT_X, MID_Y, HEAD, "outputs", prod(head.shape))


def _legend(axes: Axes, layers: list[Layer]) -> None:
    """Say what the marks mean and how many parameters have each role."""
    for row, role in enumerate(ROLES):
        y = -3.62 - 0.27 * row
        count = sum(layer.count for layer in layers if role.learns(layer))
        _mark(axes, role, 1.17, y)
        axes.text(1.4, y, role.text, va="center", fontsize=9)
        axes.text(6.6, y, f"{count:,} parameters", va="center", fontsize=9, color=MUTED)
