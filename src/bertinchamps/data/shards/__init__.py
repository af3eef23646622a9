"""A preparation in shards: what is done to texts by themselves in parallel, decisions in order.

    FOLDER/texts-K/ looks-K/   behind the functions of stage K: what remains, and what its comparing step saw
           decisions-K/        of that step
           shares/RANK/        tokens and counts of a shard, as `tokenising.py` writes them
           corpus/             all of them joined; moved to its name

A shard is a contiguous part of the source, so what the tasks write one after the other is what one machine writes.
Texts between the stages are their owner's alone to read, and are removed at the end.
"""
