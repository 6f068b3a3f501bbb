"""What the model, its parts and whole videos cost: tools/benchmark.py and tools/benchmark_parts.py."""
