"""The end of the line: losses, log-probs, and the trainers of policies and reward models."""
