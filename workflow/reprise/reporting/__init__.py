"""Tables, figures, verdicts and claims: what a person reads."""
