"""What a user decides: options by concern, the recipe that they make, its checks and its command line.

YAML files and flags go in, a `Recipe` comes out. What it is made of belongs to the packages below.
"""
