"""Who may call, how often, and under which name a patient's data appears in logs."""
