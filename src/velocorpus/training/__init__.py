"""Pretraining, fine-tuning and checkpoints."""
