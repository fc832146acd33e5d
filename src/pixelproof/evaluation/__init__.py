"""Measures a model: every prediction is a row of its ledger."""
