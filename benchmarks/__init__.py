"""Session in, numbers out: latency, throughput, memory, accuracy, parity and the statistics behind them."""
