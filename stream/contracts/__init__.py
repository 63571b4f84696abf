"""What riskstream reads and writes, as pydantic models: one file a noun, the reference for every reader."""
