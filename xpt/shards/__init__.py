"""Corpora too big for one disk: shards of token ids, read near the position of training and nowhere else.

A prepared folder, here or behind a URL, holds `shards.json` (`index`), Parquet files of token ids
(`writing`), its tokenizer, and the held-out text as a small corpus. `store` fetches what is needed into a cache of bounded
size, `examples` and `rows` give it the faces that training knows (`xpt.batching`), on rows that `best_fit`
packs, and `preparation` is what a run calls. `prepare` and the stages beside it make such a folder.

Nothing but the number of the next row is a position: how many rows a shard gives follows from its lengths
alone, which the index holds. So row k of training is found without reading what comes before it, and is the
same for any number of processes and workers, and after any resume.
"""
