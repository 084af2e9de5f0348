"""The `changeover` command. Exit codes are drawn in `changeover.errors`."""

from changeover.cli.main import main

__all__ = ["main"]
