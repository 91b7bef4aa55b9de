"""The report tagger, from the reports to its bundle."""
