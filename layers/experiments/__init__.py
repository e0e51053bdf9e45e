"""The experiments behind the commands: one folder a command."""
