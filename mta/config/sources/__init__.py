"""The places where settings come from, and the grammar that Exim's image gave them."""
