"""What writes the pages and schemas in ``docs/`` from the code; no part of the wheel."""
