"""Perturbation: running a network on masked inputs, with seeded masks and running sums over them."""
