"""What a progress bar says of a meta-training."""

from torch import Tensor


def progress_text(rows: Tensor) -> str:
    """The means of log rows float64 [n, R, 3] (`store.tables.LOG_METRICS`), in words."""
    loss, _, remembered = rows.nanmean((0, 1))
    return f"loss {loss:.2f}, remember {100 * remembered:.0f}%"
