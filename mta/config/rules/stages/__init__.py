"""The stages of rules: each module makes the rules of one stage of the entries in their tables."""
