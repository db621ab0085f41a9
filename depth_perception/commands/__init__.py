"""One file per verb: HELP, EXAMPLE, add_arguments(parser), run(args) -> exit code. Imports happen when a verb runs."""
