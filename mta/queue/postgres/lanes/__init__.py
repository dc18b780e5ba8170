"""Operations on mail: gathered into batches, and offered on lanes until their outcome is known."""
