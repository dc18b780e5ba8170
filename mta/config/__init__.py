"""Reads the environment into one frozen Settings and reports all mistakes together.

Only `mta.cli`, `mta.daemon`, `mta.workers` and `mta.tap` import it; the other packages are given decided values.
"""
