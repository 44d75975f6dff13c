"""Structures behind a form factor: compare, scan, refine (section 3.2.2 of the paper)."""
