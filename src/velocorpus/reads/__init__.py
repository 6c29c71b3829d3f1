"""Reads in."""
