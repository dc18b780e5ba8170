"""DNSSEC: answers with a word on whether they are proven, by libunbound or by the AD bit of a name server."""
