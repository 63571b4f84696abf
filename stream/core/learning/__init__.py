"""What models learn from: records of learning, rounds over them, a watch on the result."""
