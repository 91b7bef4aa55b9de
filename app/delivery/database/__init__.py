"""The database, in a file or on PostgreSQL: results and their deliveries, what became of each series, jobs, fetches and
workitems."""
