"""The survey: what is known of Korean and multilingual models, each fact with its source, and their names.

`models.yaml` goes in; a table, a page of docs, a Hub id for a name and what a model's files leave open come out.
"""
