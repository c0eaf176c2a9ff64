"""Learning curves of the digits search space, measured once and replayed by `benchmarks.search`."""
