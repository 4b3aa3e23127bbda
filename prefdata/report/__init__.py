"""Reports for people: the few shapes of charts that figures need."""
