"""Files from anywhere to here, verified before they get their names."""
