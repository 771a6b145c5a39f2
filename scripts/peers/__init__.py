"""lec7 beside others: the same work in each framework, in turns. `scripts/bench_peers` runs it."""
