"""Both hops of the line on a log: a batch in, a batch of outputs out; what is left out, and why."""
