"""Makes the data of the page's templates from the values of a relay. Pure."""
