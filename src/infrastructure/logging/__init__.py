"""Log records as lines on standard error."""
