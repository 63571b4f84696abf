"""The engines side by side on one trivial job, each the smallest program that its own documentation would have.

The job: for every transaction of ``bank.transactions.v1`` add to the account's durable row (count, sum of
``amount_minor``) and publish one JSON decision with both to ``risk.decisions.v1``, under the key of the transaction.
Decisions are compressed with lz4 everywhere.

Python engines are started as ``python -m benchmarks.engines.NAME BROKER PREFIX STATE_DIRECTORY``. ``job.py`` holds the
job itself, for those that run it in Python.
"""
