"""MLPerf LoadGen inside the process that holds the engine."""
