"""The survey: what is known of Korean and multilingual models, each fact with its source.

`models.yaml` goes in; tables, the Hub id of a name, and what that model's files leave open come out.
"""
