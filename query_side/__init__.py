"""Answers from the views. Never touches the write side, and knows the views by their stable names only."""
