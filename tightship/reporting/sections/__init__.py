"""What several views say of one part of the evidence, one module a part."""
