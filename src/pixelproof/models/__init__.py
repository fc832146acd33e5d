"""Classifiers: built, trained, stored, served."""
