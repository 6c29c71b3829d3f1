"""Teacher targets, inference, trajectories."""
