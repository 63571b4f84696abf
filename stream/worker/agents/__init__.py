"""What works beside the line: the learner, the holds, the versions in force."""
