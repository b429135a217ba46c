"""What the benchmarks run and measure by: our engine, its rivals, their workload, their memory."""
