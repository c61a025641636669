"""`orderlog rebuild`."""
