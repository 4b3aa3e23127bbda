"""How good is a judge or a model? Figures with their intervals."""
