"""The `migaki` command, a file for each group of commands."""
