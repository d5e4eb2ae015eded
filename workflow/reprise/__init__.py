"""Reprise: re-run recommender-system papers and say, number by number, what reproduced."""

__version__ = "0.1.0"
