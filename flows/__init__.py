"""What runs: one file per flow, the settings it is asked for, and the `migaki` command."""
