"""The same numbers sooner: what replaces stock operations while a model trains on a CPU."""
