"""Series come through each door of the service while it is killed and its destinations fail: what becomes of each."""
