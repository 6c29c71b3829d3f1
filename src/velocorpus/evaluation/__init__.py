"""Baselines, metrics, tables and figures."""
