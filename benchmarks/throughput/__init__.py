"""How fast the tunnel is beside the bare cable and other VPNs: ``python -m benchmarks.throughput``."""
