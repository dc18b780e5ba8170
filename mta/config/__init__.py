"""Environment variables to one frozen Settings, all mistakes reported together. Imported by mta.tap and mta.ops."""
