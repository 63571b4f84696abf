"""The desk: what people see and do beside the line. A live view, alerts in words, verdicts, counts, state."""
