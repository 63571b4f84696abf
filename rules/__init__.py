"""What the bank decides: scenario packs, conditions, familiarity, the ladder of outcomes, reasons. Nothing of Kafka."""
