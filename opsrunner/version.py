"""The version, alone in a file so that printing it imports nothing."""

VERSION = "0.1.0"
