"""From a feature matrix to outcomes, sentences and bytes; everybody who decides enters here."""
