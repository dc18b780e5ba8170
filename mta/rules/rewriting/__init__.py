"""`[[rewrite]]`: rules that change envelope and header of a message before it is stored."""
