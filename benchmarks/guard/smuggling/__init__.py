"""Requests of two meanings, sent to the service through real proxies: does anybody get another's answer?"""
