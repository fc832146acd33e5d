"""Images and generated sets: read, split, stored."""
