"""Fake vendors over real HTTP for the tests of the pollers, built from the vendors' documentation."""
