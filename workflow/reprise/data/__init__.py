"""Raw sources, their readers, filters and splits: from a public address to prepared arrays."""
