"""What the project exists for: pixel changes, Pi, gradients, statistics; numpy, torch, scipy only."""
