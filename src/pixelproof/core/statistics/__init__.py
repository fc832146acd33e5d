"""Intervals, tests and ranks; the draws of one image are never treated as independent."""
