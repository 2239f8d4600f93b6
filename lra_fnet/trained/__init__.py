"""What is done with a trained model: evaluate it again, export it, ask it."""
