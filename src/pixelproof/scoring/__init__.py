"""Any model, measured on any images: one call to the answer."""
