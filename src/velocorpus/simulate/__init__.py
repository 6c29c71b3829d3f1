"""Studies whose truth is known: kinetics, counts, reads."""
