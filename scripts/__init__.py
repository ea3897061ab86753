"""Programs of the checkout: the demo, the benchmarks, the generator of docs."""
