"""KLUE, the Korean benchmark: any model, eight tasks, the official scores."""
