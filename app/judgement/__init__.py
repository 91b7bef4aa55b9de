"""The data plane: parameters and bytes in, answers and result objects out. It knows no HTTP."""
