"""Ledgers become figures, claims, tables and the page."""
