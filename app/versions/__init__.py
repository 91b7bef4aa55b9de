"""Which versions of the models judge and which stand beside them, also as that changes while the service runs."""
