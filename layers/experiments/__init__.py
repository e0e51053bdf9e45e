"""What the commands measure and show: one folder a command."""
