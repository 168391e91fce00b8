"""Bridges to other people's training libraries; each is imported by name and loads its library when it is used."""
