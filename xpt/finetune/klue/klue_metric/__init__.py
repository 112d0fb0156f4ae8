"""The KLUE metrics as one `evaluate` module: predictions and references in, percents out."""
