"""The subcommands of `anml`, behind `anml.cli`."""
