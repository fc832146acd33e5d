"""Measurements of speed, cost and statistics; `make bench` runs those that set it beside others."""
