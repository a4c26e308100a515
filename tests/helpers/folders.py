"""What lies in a folder."""

from pathlib import Path


def files(folder: Path) -> set[str]:
    """Every file below it, by its path from there."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
