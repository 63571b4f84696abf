"""What operators do to a line: dead letters sent once more, times mended, rows looked at; may enter the worker's rooms."""
