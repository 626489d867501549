"""Log records as lines of text on standard error."""
