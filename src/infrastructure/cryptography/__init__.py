"""Ciphers, curves and entropy, from outside the domain."""
