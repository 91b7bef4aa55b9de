"""Exit codes of every command."""

OK, SOME_FAILED, CANNOT_START, INTERRUPTED = 0, 1, 2, 130
