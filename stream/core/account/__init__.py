"""The account hop: its walk, its rows, what feedback and reversals do to them; enters no other hop."""
