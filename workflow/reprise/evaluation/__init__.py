"""Ranking, metrics per user, and what may be concluded from them."""
