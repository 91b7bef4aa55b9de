"""What was done, by whom, to what, with which models and what result: lines that nobody changes unnoticed, and signed
receipts.

See docs/decisions/0023-audit-and-receipts.md.
"""
