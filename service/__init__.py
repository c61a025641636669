"""What every HTTP service of orderlog has in common: problems, request limits, logs, ports."""
