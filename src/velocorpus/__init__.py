"""velocorpus: the RNA Velocity Corpus and the Zorro model, reproducibly built together."""

__version__ = "0.1.0"
