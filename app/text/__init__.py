"""What a radiology report states: sentences, rules, a learned tagger, and agreement with findings. It knows no HTTP.

Text lives only in the arguments and results of these functions: nothing here keeps, writes or logs it.
"""
