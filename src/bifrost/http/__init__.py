"""HTTP plumbing that every slice uses: surfaces, strict parsers, cookies, pages, the outbound client."""
