"""Docks, one module each."""
