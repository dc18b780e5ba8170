"""DKIM (RFC 6376): keys, canonical forms and signatures."""
