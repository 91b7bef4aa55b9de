"""What only the shipped server needs: connections, the event loop, workers and their supervisor."""
