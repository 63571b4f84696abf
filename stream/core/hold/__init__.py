"""What ends a held or challenged payment: holds, obligations and their rows."""
