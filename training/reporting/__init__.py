"""What people and services get: the report with its pictures, the bundle and its card."""
