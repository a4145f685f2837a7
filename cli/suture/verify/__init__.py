"""Proof that a bundle's cuts compute what the whole network does, on every engine; behind `suture verify`."""
