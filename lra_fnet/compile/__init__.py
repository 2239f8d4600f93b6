"""Compile training and evaluation for accelerators that are not here."""
