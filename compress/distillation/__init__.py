"""Knowledge distillation, one file a family: outputs (`logits`), layers (`features`), where a network looks (`attention`)."""
