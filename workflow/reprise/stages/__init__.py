"""One module a verb of the command line: `HELP`, `arguments(parser)`, `main(args, config)`."""
