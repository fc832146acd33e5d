"""A model is measured: every prediction is a row of its ledger."""
