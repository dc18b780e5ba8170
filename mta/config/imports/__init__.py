"""Rules made of the files of Exim and Postfix."""
