"""Many runs become one table and one figure: what is varied, a queue on disk, statistics over seeds.

`settings` reads a study, `plan` makes its runs, `queue` trains them by `worker`s, `measures` collects what
they reached, `statistics` and `data_factor` say what a difference is worth, `table` and `figures` show it.
"""
