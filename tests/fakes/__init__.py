"""Servers that speak as vendors document it, over real HTTP on loopback."""
