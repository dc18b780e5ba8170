"""Certificates and the TLSA records of their hosts."""
