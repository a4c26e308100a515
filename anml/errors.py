"""The one exception that is meant for the user's eyes."""


class AnmlError(Exception):
    """A problem the user can mend.

    The message is one line: what was wrong, what is allowed, what to do next. The command line
    prints it as `error: ...` and exits with status 2; a notebook shows it without a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """Give IPython one line in place of a traceback."""
        return [f"error: {self}"]
