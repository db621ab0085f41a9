"""One file per verb: HELP, EXAMPLE, WRITES, add_arguments(parser), run(args) -> exit code. Imports happen when a verb runs.

WRITES: what an option names that is to be written, "directory" or "file"; `main` asks whether it can be before the verb begins.
"""
