"""The parts of the training loop: batches, losses, optimizers, mixing, averages, held-out scores, state on disk."""
