"""Figures of accuracy and speed, measured by ``python -m benchmarks``."""
