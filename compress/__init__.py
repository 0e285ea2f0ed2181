"""Model in, smaller model out: distil, prune, quantize, and the fine-tuning loop that they share."""
