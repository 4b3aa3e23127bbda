"""Graders: what an answer is worth by rules that anyone can check (verifiable rewards)."""
