"""Attacks: changes of images that are chosen to fool a classifier."""
