"""The operator's rules: the files and settings that have them, and the reader that makes values of them."""
