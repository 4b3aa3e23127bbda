"""Rejection sampling: generate candidates, score them, select."""
