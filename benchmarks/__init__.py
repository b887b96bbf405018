"""What things cost here: each module is a command, ``python -m benchmarks.<name>``."""
