"""Environment variables to one frozen Settings, all mistakes reported together.

Imported by `mta.ops` and by the modules beside the rooms.
"""
