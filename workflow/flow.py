"""What the Snakefile asks of each profile: memory and time of a group, overrides as text."""

from __future__ import annotations

from anml.cli_run import read_overrides
from anml.profiles import Profile

NARROW, WIDE = 1500, 4000
"""MB of one process, drawings and libraries included: networks of a profile for a laptop, and at
the paper's width, where the outer batch takes about 1 GB."""
WIDE_CHANNELS = 128
HOURS = {"meta-train": 24, "rates": 24}
"""Limits for a cluster's queue at the paper's profile, generous; a group that is cut off goes on in
the next try. What is not named takes a few hours."""
OTHER_HOURS = 8


def memory_mb(profile: Profile) -> int:
    """Memory to ask for, in MB, for one process."""
    return WIDE if max(profile.pln_channels, profile.oml_channels) >= WIDE_CHANNELS else NARROW


def minutes(profile: Profile, kind: str) -> int:
    """Time to ask for, in minutes, for one group."""
    return 60 * (HOURS.get(kind, OTHER_HOURS) if profile.name == "paper" else OTHER_HOURS)


def overrides(text: str) -> dict[str, str]:
    """Single values of the profile from 'NAME=VALUE;NAME=VALUE'."""
    return read_overrides(item.strip() for item in text.split(";") if item.strip())
