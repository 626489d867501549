"""``tungo demo``: a tunnel between network namespaces, built, used, measured and removed."""
