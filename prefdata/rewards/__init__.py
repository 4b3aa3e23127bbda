"""Reward models: folders of sequence classifiers, and the scores they give to answers."""
