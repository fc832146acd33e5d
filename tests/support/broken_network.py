"""What a person may write who is not done yet."""

raise ValueError("no such size")
