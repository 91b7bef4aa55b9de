"""How the service fares with its site's cases: verdicts of readers and pathology against what was answered, and whether
what comes in, or what is said of it, has changed."""
