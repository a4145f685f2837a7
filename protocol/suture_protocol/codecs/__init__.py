"""Codecs turn a boundary tensor into bytes and back, one small file each; `registry` lists them."""
