"""The machine: files, processes and what they may use."""
