"""What suites and health checks look at."""
