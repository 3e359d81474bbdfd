"""Servers on loopback ports, for a demonstration and for tests: no password, killed at the end."""
