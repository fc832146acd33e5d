"""What the project exists for: pixel changes, Pi, gradients, statistics."""
