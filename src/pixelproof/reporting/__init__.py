"""Turns ledgers into figures, claims, tables and the page."""
