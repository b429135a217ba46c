"""Requests and answers: the routes, their bodies, what stands before them."""
