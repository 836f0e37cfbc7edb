"""The contract's services: each handler turns a request into the domain's words, and the answer back."""
