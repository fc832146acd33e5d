"""Intervals, tests and ranks; draws of one image are never taken as independent."""
