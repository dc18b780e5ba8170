"""The TLS that recipients' domains demand by MTA-STS and DANE, and the operator by TLS_POLICY."""
