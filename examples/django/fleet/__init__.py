"""Starts playbooks and shows what became of them."""
