"""Views of the log: one folder per view, and the worker that keeps any of them up to date."""
