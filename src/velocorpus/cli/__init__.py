"""The command line: one module per group of subcommands, explicit files in, explicit files out."""
