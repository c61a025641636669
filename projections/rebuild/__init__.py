"""Rebuild: the next generation of a view, made beside the live one, which then takes its place."""
