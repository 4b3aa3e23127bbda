"""Records to annotations: judges ask a model about completions, and what it says is appended, never edited."""
