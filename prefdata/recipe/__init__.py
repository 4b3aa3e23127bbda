"""Recipes: a YAML with an ordered list of steps, run as one command."""
