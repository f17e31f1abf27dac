"""What schedules start in these tests."""

from __future__ import annotations

HOSTS = "all: {hosts: {here1: {ansible_connection: local}, here2: {ansible_connection: local}}}\n"
#: Each host notes that it was there, and takes as long as the variable ``pause`` says.
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: mark
      shell: "echo {{ inventory_hostname }} >> {{ playbook_dir }}/marks; sleep {{ pause | default(0) }}"
"""
