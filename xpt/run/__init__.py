"""One run: its folder, its stages, what a dry run says of it, and what a person reads of it.

A recipe goes in, a folder comes out; only here is a recipe known whole.
"""
