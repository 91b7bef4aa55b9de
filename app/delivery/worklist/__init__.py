"""UPS-RS (PS3.18 11): workitems, and how those for this service are performed."""
