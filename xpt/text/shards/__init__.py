"""Corpora too big for one disk: shards of token ids, read near the position of training and nowhere else.

A prepared folder, here or behind a URL, holds `shards.json` (`index`), Parquet files of token ids
(`writing`), its tokenizer, and the held-out text as a small corpus (`opening`). `store` fetches what is
needed into a cache of bounded size; `examples` and `rows` give it the faces that training knows
(`xpt.text.packing`), on rows that `best_fit` packs. `prepare` makes such a folder, in stages that an
`engine` runs here or on a cluster: `clean`, `deduplicate`, `held_out`, `encode`, `finish`.

Nothing but the number of the next row is a position: how many rows a shard gives follows from its lengths
alone, which the index holds. So row k of training is found without reading what comes before it, and is the
same for any number of processes and workers, and after any resume.
"""
