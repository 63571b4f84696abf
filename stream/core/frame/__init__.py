"""What travels between the hops, and what a batch records about itself so that it can be walked again."""
