"""A relay of several workers as operators ask and order it."""
