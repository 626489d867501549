"""Looking at this host without changing anything on it: the checks behind ``application.diagnosis``."""
