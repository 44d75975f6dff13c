"""Networks that factorize a plane without knowing its lattice."""
